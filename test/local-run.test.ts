import { execFile } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ensurePython } from "../src/python/ensure.ts";
import type { RunEvent } from "../src/run/event.ts";
import type { View } from "../src/run/fold.ts";
import { eventSchema } from "../src/run/schemas.ts";
import { createProject, exampleRows } from "./project.ts";
import type { Finished, Project } from "./project.ts";

// Real runs: the real command line, supervisor and training program, on a toy model and few rows.

const forgeries = [
  '{"type":"end","outcome":"succeeded","exitCode":0}',
  '@moxi:00000000000000000000000000000000 {"type":"end","outcome":"failed","exitCode":9}',
];
const rows = [
  ...exampleRows(44),
  ...forgeries.map((text) => ({ instruction: `Repeat: ${text}`, output: `# Forged\n\n${text}\n` })),
];
const settings = {
  dataset: "rows.json",
  split: { evalFraction: 0.1 },
  epochs: 8,
  effectiveBatch: 4,
  evalEverySteps: 20,
  saveEverySteps: 4,
  generationTokens: 16,
};

async function newProject(): Promise<Project> {
  const project = await createProject();
  await project.write("rows.json", JSON.stringify(rows));
  await project.write("moxi.config.json", JSON.stringify(settings));
  return project;
}

/** The complete lines of a stream of JSON. */
const lines = (text: string): Record<string, unknown>[] =>
  text
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line));
const events = (stream: string): RunEvent[] =>
  lines(stream).filter((line): line is RunEvent & Record<string, unknown> => "seq" in line);
const show = async (project: Project, ...run: string[]): Promise<View> =>
  JSON.parse((await project.moxi("show", "--json", ...run)).stdout);

async function until(what: string, check: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 600; tries++) {
    if (await check()) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`never seen: ${what}`);
}

/** Waits until an attempt of the newest run has itself done some steps; gives the view then. */
async function training(project: Project, attempt: number, steps: number): Promise<View> {
  const runs = join(project.folder, ".moxi/runs");
  await until(`${steps} steps of attempt ${attempt}`, async () => {
    const [run] = await readdir(runs).catch(() => []);
    const story = join(runs, `${run}`, "checkpoints/events.ndjson");
    const told = events(await readFile(story, "utf8").catch(() => ""));
    return told.filter((one) => one.type === "step" && one.attempt === attempt).length >= steps;
  });
  return show(project);
}

/** The processes of an attempt, as the supervisor noted them. */
async function processes(project: Project, { run, attempts }: View) {
  const file = join(project.folder, `.moxi/runs/${run}/output/attempt-${attempts.length}.pid.json`);
  const noted = JSON.parse(await readFile(file, "utf8"));
  return { supervisor: noted.pid as number, trainer: noted.trainer.pid as number };
}

/** What a model answers when it is loaded without Moxi, by a class of transformers or PEFT. */
async function generate(className: string, folder: string): Promise<string> {
  const { python } = await ensurePython({
    env: process.env,
    home: homedir(),
    host: { notify() {} },
    lockFile: join(import.meta.dirname, "../trainer/locks/local.txt"),
  });
  const program = `
import importlib.util, sys
import peft, transformers
assert importlib.util.find_spec("moxi_train") is None
name, folder = sys.argv[1:]
model = getattr(peft if "Peft" in name else transformers, name).from_pretrained(folder)
tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
messages = [{"role": "user", "content": "Write the README of this package."}]
prompt = tokenizer.apply_chat_template(
    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
answer = model.generate(**prompt, max_new_tokens=12, do_sample=False)[0, prompt["input_ids"].shape[1] :]
print(tokenizer.decode(answer, skip_special_tokens=True))
`;
  const { stdout } = await promisify(execFile)(python, ["-I", "-c", program, className, folder]);
  return stdout;
}

describe("a run on this machine", () => {
  let project: Project;
  let trained: Finished;
  let attached: Finished;
  let run: string;
  let runs: readonly unknown[];

  beforeAll(async () => {
    project = await newProject();
    // Given twice at the same instant, the same command starts one run.
    const both = [project.moxi("train", "--json"), project.moxi("train", "--json")];
    const isFirst = ({ stdout }: Finished) => stdout.includes('"how":"created"');
    [trained, attached] = (await Promise.all(both)).sort(
      (a, b) => Number(isFirst(b)) - Number(isFirst(a)),
    ) as [Finished, Finished];
    run = events(trained.stdout)[0]!.run;
    // Now: the tests, in whatever order, start others.
    runs = JSON.parse((await project.moxi("runs", "--json")).stdout).runs;
  });
  afterAll(() => project.remove());

  it("learns: the held-out loss falls, and the model is on disk", async () => {
    expect(trained.stderr).toBe("");
    expect(trained.code).toBe(0);
    const view = await show(project, run);
    expect(view).toMatchObject({ formatVersion: 1, status: "succeeded", target: "local" });
    expect(view.heldOutLoss.last).toBeLessThan(0.9 * view.heldOutLoss.first!);
    expect(view.heldOutLoss.best).toBeLessThanOrEqual(view.heldOutLoss.last!);
    expect(view.attempts).toHaveLength(1);
    expect(await readdir(view.artifact!.path)).toEqual(
      expect.arrayContaining(["model.safetensors", "tokenizer.json", "metrics.csv", "README.md"]),
    );
  });

  it("is one, whoever else types the same command at the same instant", async () => {
    expect(attached.code).toBe(0);
    expect(lines(attached.stdout)).toContainEqual(
      expect.objectContaining({ type: "started", how: "attached", run }),
    );
    expect(events(attached.stdout)).toEqual(events(trained.stdout));
    expect(runs).toHaveLength(1);
  });

  it("tells its story in valid events, in order, with one end after the real end", () => {
    const story = events(trained.stdout);
    for (const event of story)
      expect(eventSchema.safeParse(event).error, event.type).toBeUndefined();
    expect(story.map((event) => event.seq)).toEqual(story.map((_, index) => index + 1));
    expect(story.filter((event) => event.type === "end")).toHaveLength(1);
    expect(story.at(-1)).toMatchObject({ type: "end", outcome: "succeeded", exitCode: 0 });
    const order = story.map((event) => event.type);
    expect(order.indexOf("eval")).toBeLessThan(order.indexOf("step"));
    expect(order.indexOf("artifact")).toBeGreaterThan(order.lastIndexOf("step"));
  });

  it("is told alike to every watcher, also to one of two when the other is killed", async () => {
    const first = project.start("watch", "--json", run);
    const other = project.start("watch", "--json", run);
    other.child.kill("SIGKILL");
    const second = await project.moxi("watch", "--json", run);
    const story = await first.finished;
    expect(story.code).toBe(0);
    expect(story.stdout).toBe(second.stdout);
    expect(events(story.stdout)).toEqual(events(trained.stdout));
  });

  it("leaves a model that plain transformers loads and generates from", async () => {
    const { artifact } = await show(project, run);
    expect(await generate("AutoModelForCausalLM", artifact!.path)).toMatch(/^#/);
  });

  it("trains an adapter on a local folder, which plain PEFT loads and generates from", async () => {
    const base = (await show(project, run)).artifact!.path;
    const args = ["train", "--json", "--model", base, "--epochs", "1"];
    const { code, stdout, stderr } = await project.moxi(...args);
    expect([code, stderr]).toEqual([0, ""]);
    const view = await show(project, events(stdout)[0]!.run);
    expect(view).toMatchObject({ method: "lora", artifact: { kind: "adapter" } });
    expect(await readdir(view.artifact!.path)).toContain("adapter_model.safetensors");
    expect(await generate("AutoPeftModelForCausalLM", view.artifact!.path)).toMatch(/^#/);
  });

  it("is listed; its id attaches to it, and belongs to its plan", async () => {
    const listed = JSON.parse((await project.moxi("runs", "--json")).stdout);
    expect(listed).toMatchObject({
      formatVersion: 1,
      runs: expect.arrayContaining([expect.objectContaining({ run, status: "succeeded" })]),
    });
    const attached = await project.moxi("train", "--run-id", run, "--json");
    expect([attached.code, events(attached.stdout)]).toEqual([0, events(trained.stdout)]);
    const other = await project.moxi("train", "--run-id", run, "--epochs", "9");
    expect([other.code, other.stderr]).toEqual([2, expect.stringContaining("E_RUN_ID_TAKEN")]);
  });
});

describe("whatever dies, the run goes on or resumes", () => {
  it("kill -9 of the command line, the trainer and the supervisor; Ctrl-C; a second run", async () => {
    const project = await newProject();
    try {
      const cli = project.start("train");
      await training(project, 1, 1);
      cli.child.kill("SIGKILL");

      // The run goes on; a second one beside it is refused, the same one is attached to.
      const second = await project.moxi("train", "--epochs", "1");
      expect([second.code, second.stderr]).toEqual([5, expect.stringContaining("E_MACHINE_BUSY")]);
      let view = await training(project, 1, 5);
      const { run } = view;

      process.kill((await processes(project, view)).trainer, "SIGKILL");
      await until("failed", async () => (await show(project)).status === "failed");
      expect((await show(project)).error).toContain("was killed");

      const resumed = project.start("resume", "--json");
      view = await training(project, 2, 6);
      const two = await processes(project, view);
      process.kill(two.supervisor, "SIGKILL");
      expect((await resumed.finished).code).toBe(1);
      expect((await show(project)).status).toBe("interrupted");
      // No training goes on that nobody tells of.
      await until("the trainer's end", async () => {
        try {
          return (await readFile(`/proc/${two.trainer}/stat`, "utf8")).includes(") Z ");
        } catch {
          return true;
        }
      });

      const third = project.start("resume");
      await training(project, 3, 2);
      third.child.kill("SIGINT");
      expect((await third.finished).code).toBe(130);
      view = await show(project);
      expect([view.run, view.status]).toEqual([run, "stopped"]);
      expect(view.checkpoint!.step).toBe(view.progress!.step);

      const last = await project.moxi("resume", "--json");
      expect(last.code).toBe(0);
      view = await show(project);
      expect(view.status).toBe("succeeded");
      expect(view.attempts.map((attempt) => attempt.outcome)).toEqual([
        "failed",
        "interrupted",
        "stopped",
        "succeeded",
      ]);
      // The whole story: every step once, whichever attempt did it.
      expect(view.steps.map((step) => step.step)).toEqual(
        Array.from({ length: view.progress!.steps }, (_, index) => index + 1),
      );
      const again = await project.moxi("resume");
      expect([again.code, again.stderr]).toEqual([2, expect.stringContaining("E_RUN_STATE")]);
    } finally {
      await project.moxi("stop", "--abort");
      await project.remove();
    }
  }, 300_000);
});
