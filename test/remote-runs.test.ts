// Runs that were started on another machine: the account's credentials are all that this one has.
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { PullResult } from "../src/api/pull.ts";
import type { RunSummary } from "../src/api/runs.ts";
import { ensurePython } from "../src/python/ensure.ts";
import type { RunEvent } from "../src/run/event.ts";
import type { View } from "../src/run/fold.ts";
import { setUpAccount } from "./cloud/account.ts";
import { rehearsalImage, startCloud } from "./cloud/start.ts";
import type { Cloud } from "./cloud/start.ts";
import { createProject, exampleRows } from "./project.ts";
import type { Finished, Project } from "./project.ts";

// Two real trainings, each of which loads PyTorch first, beside whatever else this machine does.
vi.setConfig({ testTimeout: 400_000, hookTimeout: 400_000 });

let cloud: Cloud;
let python: string;
let settings: Readonly<Record<string, string>>;
const machines: Project[] = [];

/** A machine of its own: an empty project, an empty home, no cache but one that is named. */
async function machine(env: Readonly<Record<string, string>>): Promise<Project> {
  const home = await mkdtemp(join(tmpdir(), "moxi-home-"));
  const cache = join(home, ".cache");
  await mkdir(cache);
  const made = await createProject({
    HOME: home,
    XDG_CACHE_HOME: cache,
    ...env,
    MOXI_POLL_SECONDS: "0.1",
  });
  const own = {
    ...made,
    async remove() {
      await made.remove();
      await rm(home, { recursive: true, force: true });
    },
  };
  machines.push(own);
  return own;
}

/** Somebody who trains: with the bucket, the role and the rows. */
async function trainer(): Promise<Project> {
  const project = await machine({ ...settings, MOXI_SAGEMAKER_IMAGE: rehearsalImage });
  await project.write("rows.json", JSON.stringify(exampleRows(40)));
  const config = {
    dataset: "rows.json",
    effectiveBatch: 4,
    epochs: 1,
    saveEverySteps: 4,
    generationTokens: 8,
    split: { evalFraction: 0.1 },
  };
  await project.write("moxi.config.json", JSON.stringify(config));
  return project;
}

/** Somebody who has the keys and the region, and nothing else. */
function visitor(): Promise<Project> {
  const { AWS_S3_BUCKET: _bucket, AWS_ARN_ROLE: _role, ...keys } = settings;
  return machine(keys);
}

beforeAll(async () => {
  ({ python } = await ensurePython({
    env: process.env,
    home: homedir(),
    host: { notify() {} },
    lockFile: join(import.meta.dirname, "../trainer/locks/local.txt"),
  }));
  cloud = await startCloud(python, 120);
  const { env, account } = await setUpAccount(cloud);
  account.close();
  settings = env;
});
afterAll(async () => {
  for (const each of machines) await each.remove();
  await cloud.stop();
});

const lines = (text: string): Record<string, unknown>[] =>
  text
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line));
const events = (text: string): RunEvent[] =>
  lines(text).filter((line): line is RunEvent & Record<string, unknown> => "seq" in line);
const list = async (project: Project, ...flags: string[]): Promise<RunSummary[]> =>
  JSON.parse((await project.moxi("runs", "--json", ...flags)).stdout).runs;
const show = async (project: Project, ...run: string[]): Promise<View> =>
  JSON.parse((await project.moxi("show", "--json", ...run)).stdout);

async function until<T>(what: string, look: () => Promise<T | undefined | false>): Promise<T> {
  for (let tries = 0; tries < 900; tries++) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  throw new Error(`never seen: ${what}`);
}

/** What a model says to one prompt, loaded by a Python that has nothing of ours in its path. */
async function logits(className: string, folder: string): Promise<string> {
  const program = `
import importlib.util, sys
import peft, torch, transformers
assert importlib.util.find_spec("moxi_train") is None
name, folder = sys.argv[1:]
model = getattr(peft if "Peft" in name else transformers, name).from_pretrained(folder)
tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
found = model(**tokenizer("Write the README", return_tensors="pt")).logits
assert torch.isfinite(found).all() and found.std() > 0
print("finite", *found.shape[:1])
`;
  const options = { env: { HOME: folder, PATH: process.env["PATH"]! } };
  const args = ["-I", "-c", program, className, folder];
  return (await promisify(execFile)(python, args, options)).stdout;
}

const pulled = ({ code, stdout, stderr }: Finished): PullResult => {
  expect([code, stderr]).toEqual([0, ""]);
  const told = lines(stdout).at(-1)!;
  expect(told["type"]).toBe("result");
  return told as unknown as PullResult;
};

describe("a run that another machine has started", () => {
  let home: Project;
  let away: Project;
  let other: Project;
  let trained: Finished;
  let watched: Finished[];
  let seenLive: { listed: RunSummary; view: View };
  let run: string;

  beforeAll(async () => {
    home = await trainer();
    [away, other] = [await visitor(), await visitor()];
    const training = home.start("train", "--yes", "--no-pull", "--json");
    const listed = await until("the run, from another machine", async () => {
      // A cloud that answers too late gives no list; the next look will.
      const all: RunSummary[] | undefined = await list(away, "--remote");
      return all?.find(({ run }) => run !== "moxi-long");
    });
    run = listed.run;
    const name = run.split("-").slice(-3).join("-");
    const watching = [away, other].map((each) => each.start("watch", name, "--json"));
    const view = await show(away);
    seenLive = { listed, view };
    trained = await training.finished;
    watched = await Promise.all(watching.map(({ finished }) => finished));
  });

  it("is listed and shown while it goes on, by credentials alone", () => {
    expect(seenLive.listed).toMatchObject({ run, status: "running", target: "sagemaker" });
    expect(seenLive.view).toMatchObject({ run, model: "moxi:tiny", machine: "ml.g5.2xlarge" });
    expect(["starting", "running"]).toContain(seenLive.view.status);
  });

  it("is told alike to everybody who watches, to its last line", () => {
    expect([trained.code, trained.stderr]).toEqual([0, ""]);
    for (const { code, stderr } of watched) expect([code, stderr]).toEqual([0, ""]);
    expect(watched[0]!.stdout).toBe(watched[1]!.stdout);
    expect(events(watched[0]!.stdout)).toEqual(events(trained.stdout));
    expect(events(watched[0]!.stdout).at(-1)).toMatchObject({ type: "end", outcome: "succeeded" });
    // A watcher brings nothing: the model is where the service has it.
    const { view } = lines(watched[0]!.stdout).at(-1) as unknown as { view: View };
    expect(view.artifact!.path).toMatch(/^s3:\/\/team-data\/moxi\/models\//);
  });

  it("leaves here nothing that cannot be made again", async () => {
    const fresh = await visitor();
    const before = await show(fresh, run);
    await rm(join(fresh.folder, ".moxi"), { recursive: true });
    expect(await show(fresh, run)).toEqual(before);
    const printed = await fresh.moxi("logs", run);
    expect(printed).toEqual(await home.moxi("logs", run));
    expect(printed).toMatchObject({ code: 0, stderr: "" });
  });

  it("lists what it learned and cost, without asking again once it is over", async () => {
    const fresh = await visitor();
    await fresh.moxi("show", run);
    const [first] = await list(fresh);
    const { steps, heldOutLoss, cost } = await show(fresh, run);
    expect(first).toMatchObject({ run, status: "succeeded", heldOutLoss, error: null });
    expect(first).toMatchObject({ step: steps.length, steps: steps.length, usd: cost!.usd });
    await cloud.order("trace");
    expect(await list(fresh)).toEqual([first]);
    const asked = (await cloud.order("trace")) as { operation: string }[];
    expect(asked.map(({ operation }) => operation)).toEqual(["ListTrainingJobs"]);
  });

  it("comes home whole, once, and loads with plain transformers", async () => {
    const fresh = await visitor();
    const { artifact } = await show(fresh, run);
    const first = pulled(await fresh.moxi("pull", run, "--json"));
    expect(first).toMatchObject({ what: "model", files: artifact!.files, bytes: artifact!.bytes });
    expect(first).toMatchObject({ resumedBytes: 0, folder: expect.stringMatching(/\/model$/) });
    expect(await logits("AutoModelForCausalLM", first.folder)).toBe("finite 1\n");
    expect((await show(fresh, run)).artifact!.path).toBe(first.folder);
    await cloud.order("trace");
    expect(pulled(await fresh.moxi("pull", "--json"))).toEqual({
      ...first,
      resumedBytes: first.bytes,
    });
    const asked = (await cloud.order("trace")) as { operation: string; values: { Key?: string } }[];
    const sent = asked.filter(
      ({ operation, values }) => operation === "GetObject" && values.Key!.includes("/models/"),
    );
    expect(sent).toEqual([]);
    // Nothing beside it: drafts are gone.
    expect(
      (await readdir(join(first.folder, ".."))).filter((name) => name.startsWith(".")),
    ).toEqual([]);
  });

  it("is brought again where a try was broken off, and that alone fails no run", async () => {
    // The command that started it, given elsewhere, follows it to its end and brings its model.
    const fresh = await trainer();
    const fault = { operation: "GetObject", kind: "denied", within: "/models/", skip: 5 };
    await cloud.order("fault", fault);
    const again = await fresh.moxi("train", "--yes", "--run-id", run, "--json");
    expect([again.code, again.stderr]).toEqual([0, ""]);
    const told = lines(again.stdout);
    const { view } = told.at(-1) as unknown as { view: View };
    expect(view.artifact!.path).toMatch(/^s3:/);
    expect(told.at(-2)).toMatchObject({
      type: "notice",
      notice: {
        type: "warning",
        text: expect.stringContaining("the model was not brought here: cannot read"),
        hint: expect.stringContaining("moxi pull"),
      },
    });
    const folder = join(fresh.folder, ".moxi/runs", run);
    expect(await readdir(folder)).not.toContain("model");
    await cloud.order("trace");
    const rest = pulled(await fresh.moxi("pull", "--json"));
    expect(rest.resumedBytes).toBeGreaterThan(0);
    expect(rest.resumedBytes).toBeLessThan(rest.bytes);
    const asked = (await cloud.order("trace")) as { operation: string; values: { Key?: string } }[];
    const sent = asked.filter(
      ({ operation, values }) => operation === "GetObject" && values.Key!.includes("/models/"),
    );
    expect(sent.length).toBeLessThan(rest.files);
  });

  it("brings its newest checkpoint and its curve", async () => {
    const fresh = await visitor();
    const { checkpoint, steps } = await show(fresh, run);
    const told = pulled(await fresh.moxi("pull", run, "--what", "checkpoint", "--json"));
    expect(told.folder.endsWith(`/checkpoints/${checkpoint!.name}`)).toBe(true);
    expect(told.bytes).toBe(checkpoint!.bytes);
    const metrics = pulled(await fresh.moxi("pull", run, "--what", "metrics", "--json"));
    const ours = (await readFile(join(metrics.folder, "metrics.csv"), "utf8")).trim().split("\n");
    const { folder } = pulled(await fresh.moxi("pull", run, "--json"));
    const theirs = (await readFile(join(folder, "metrics.csv"), "utf8")).trim().split("\n");
    expect(ours.slice(1).map((line) => line.split(",")[0])).toEqual(
      theirs.slice(1).map((line) => line.split(",")[0]),
    );
    expect(ours[0]).toBe(theirs[0]);
    expect(ours.length).toBeGreaterThan(steps.length);
    const story = await readFile(join(metrics.folder, "events.ndjson"), "utf8");
    expect(events(story)).toEqual(events(trained.stdout));
  });

  it("is brought by the machine that trains it, when a LoRA run on a folder succeeds", async () => {
    const base = pulled(await home.moxi("pull", run, "--json")).folder;
    const done = await home.moxi("train", "--yes", "--model", base, "--run-id", "lora", "--json");
    expect([done.code, done.stderr]).toEqual([0, ""]);
    const { view } = lines(done.stdout).at(-1) as unknown as { view: View };
    expect(view).toMatchObject({ run: "moxi-lora", method: "lora", artifact: { kind: "adapter" } });
    expect(view.artifact!.path).toBe(join(home.folder, ".moxi/runs/moxi-lora/model"));
    expect(await logits("AutoPeftModelForCausalLM", view.artifact!.path)).toBe("finite 1\n");

    // Merged on the way home: one model, which plain transformers load.
    const XDG_CACHE_HOME = process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache");
    const fresh = await machine({ ...settings, XDG_CACHE_HOME });
    const merging = ["pull", "lora", "--what", "merged", "--json"];
    const merged = pulled(await fresh.moxi(...merging, "--output", "merged"));
    expect(merged).toMatchObject({ what: "merged", folder: join(fresh.folder, "merged") });
    expect(await logits("AutoModelForCausalLM", merged.folder)).toBe("finite 1\n");

    // The same command on another machine finds the run by its name, and starts none.
    const over = await home.moxi("resume", "lora");
    expect(over.code).toBe(2);
    expect(over.stderr).toMatch(/^error {2}moxi-lora has succeeded: there is nothing to resume\n/);
    const stopped = await home.moxi("stop", "no-such-run");
    expect([stopped.code, stopped.stderr]).toEqual([2, expect.stringMatching(/^error /)]);

    const again = await trainer();
    const same = await again.moxi("train", "--yes", "--model", base, "--run-id", "lora", "--json");
    expect(lines(same.stdout)).toContainEqual(expect.objectContaining({ how: "attached" }));
    expect(same.code).toBe(0);
    const all = (await list(await visitor(), "--remote")).map((each) => each.run);
    expect(all).toEqual(expect.arrayContaining(["moxi-lora", run]));
    expect(all.filter((each) => each === "moxi-lora")).toHaveLength(1);
  });
});

it("is stopped from another machine, which gets its checkpoint", async () => {
  const home = await trainer();
  const training = home.start("train", "--yes", "--epochs", "400", "--json", "--run-id", "long");
  const away = await visitor();
  const found = await until("a checkpoint", async () => {
    const view = await show(away, "long").catch(() => undefined);
    return view?.checkpoint != null && view;
  });
  expect(found).toMatchObject({ run: "moxi-long", status: "running" });
  const stopped = await away.moxi("stop", "long", "--json");
  const view = JSON.parse(stopped.stdout) as View;
  expect(view).toMatchObject({ status: "stopped", checkpoint: { step: view.progress!.step } });
  const { code, stdout } = await training.finished;
  expect(code).toBe(1);
  expect(events(stdout).at(-1)).toMatchObject({ type: "end", outcome: "stopped" });
  const told = pulled(await away.moxi("pull", "long", "--what", "checkpoint", "--json"));
  expect(told.folder.endsWith(view.checkpoint!.name)).toBe(true);
  const none = await away.moxi("pull", "long");
  expect([none.code, none.stderr]).toEqual([2, expect.stringContaining("--what checkpoint")]);
});

it("says that no such run is there, here or in the cloud, and what is wrong with the cloud", async () => {
  const away = await visitor();
  const none = await away.moxi("show", "nobodys-run");
  expect([none.code, none.stderr]).toEqual([2, expect.stringContaining("nor on sagemaker")]);
  const { AWS_ENDPOINT_URL: _cloud, ...keys } = settings;
  const cut = await machine({ ...keys, AWS_ENDPOINT_URL: "http://127.0.0.1:9" });
  const lost = await cut.moxi("show", "nobodys-run");
  expect([lost.code, lost.stderr]).toEqual([8, expect.stringContaining("the cloud cannot tell")]);
});
