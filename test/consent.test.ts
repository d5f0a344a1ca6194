// What stands between a command and the first cent: consent, the dry run, and plans that were saved.
import { existsSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { DryRun } from "../src/api/dry-run.ts";
import type { ErrorJson } from "../src/base/errors.ts";
import { setUpAccount } from "./cloud/account.ts";
import { rehearsalImage, startCloud } from "./cloud/start.ts";
import type { Cloud } from "./cloud/start.ts";
import { createProject, exampleRows } from "./project.ts";
import type { Project } from "./project.ts";

interface Traced {
  readonly service: string;
  readonly operation: string;
}

let cloud: Cloud;
let project: Project;
beforeAll(async () => {
  cloud = await startCloud();
  const { env, account } = await setUpAccount(cloud);
  account.close();
  project = await createProject({ ...env, MOXI_SAGEMAKER_IMAGE: rehearsalImage });
  await project.write("rows.json", JSON.stringify(exampleRows(40)));
});
afterAll(async () => {
  await project.remove();
  await cloud.stop();
});
beforeEach(() => cloud.order("trace"));

/** The requests of the last command that changed something. */
async function changes(): Promise<string[]> {
  const trace = (await cloud.order("trace")) as Traced[];
  const reads = /^(?:Get|Head|List|Describe|Simulate)/;
  return trace.map(({ operation }) => operation).filter((operation) => !reads.test(operation));
}

async function refused(...args: string[]): Promise<ErrorJson> {
  const dataset = args.includes("--dataset") ? [] : ["--dataset", "rows.json"];
  const { code, stdout } = await project.moxi("train", ...dataset, "--json", ...args);
  const { error } = JSON.parse(stdout.trimEnd().split("\n").at(-1)!) as { error: ErrorJson };
  expect(error, stdout).toBeDefined();
  expect(error.exitCode).toBe(code);
  expect(await changes()).toEqual([]);
  const runs = join(project.folder, ".moxi/runs");
  expect(existsSync(runs) ? await readdir(runs) : []).toEqual([]);
  return error;
}

async function rehearsed(...args: string[]): Promise<DryRun> {
  const done = await project.moxi(
    "train",
    "--dataset",
    "rows.json",
    "--dry-run",
    "--json",
    ...args,
  );
  expect(done.code, done.stdout).toBe(0);
  return JSON.parse(done.stdout.trimEnd().split("\n").at(-1)!) as DryRun;
}

test("without a terminal nothing that costs money starts by itself: exit 6, with the price", async () => {
  expect(await refused()).toMatchObject({
    code: "E_BUDGET",
    exitCode: 6,
    message: "training on sagemaker (ml.g5.2xlarge) can cost up to $36.36",
    hint: "agree with --yes, or set a limit: --max-usd 10",
  });
});

test("a limit in dollars is refused where it pays for nothing, and is the longest time else", async () => {
  expect(await refused("--max-usd", "0.05")).toMatchObject({
    code: "E_BUDGET",
    message: "$0.05 pays for 118 s of the machine",
    hint: expect.stringContaining("0.13"),
  });
  const { plan, offer } = await rehearsed("--max-usd", "3.03");
  expect(plan.limits.maxSeconds).toBe(7200);
  expect(offer).toMatchObject({ worstUsd: 3.03, price: { perHour: 1.515 } });
  expect((await rehearsed("--max-usd", "3.03", "--max-hours", "1")).plan.limits.maxSeconds).toBe(
    3600,
  );
});

test("a dry run names every request, in order, and sends none", async () => {
  const { requests, checks } = await rehearsed("--run-id", "ci-42");
  expect(await changes()).toEqual([]);
  // The test image is nobody's that Moxi has packages for.
  const unsure = checks.filter(({ result }) => result !== "ok");
  expect(unsure.map(({ name }) => name)).toEqual(["packages"]);
  const names = requests.map(({ operation, input }) =>
    typeof input["Key"] === "string" ? input["Key"] : operation,
  );
  expect(names[0]).toMatch(/^moxi\/code\/[0-9a-f]{64}\/bootstrap\.py$/);
  expect(names).toContainEqual(
    expect.stringMatching(/^moxi\/data\/sft\/\w{64}\/train\/train\.jsonl$/),
  );
  const last = names.slice(-4);
  expect(last).toEqual([
    "moxi/runs/moxi-ci-42/plan.json",
    expect.stringMatching(/\/attempts\/1\.json$/),
    expect.stringMatching(/\/job-a1\/job\.json$/),
    "CreateTrainingJob",
  ]);
  const { input } = requests.at(-1)!;
  expect(input).toMatchObject({ StoppingCondition: { MaxRuntimeInSeconds: 86_400 } });
});

test("people read the same: what, how much, and that nothing was sent", async () => {
  const { code, stdout } = await project.moxi("train", "--dataset", "rows.json", "--dry-run");
  expect(code).toBe(0);
  expect(stdout).toContain(
    "sagemaker, ml.g5.2xlarge in us-east-1: at most $36.36 for 24h 00m at $1.515 an hour (AWS's price list, ",
  );
  expect(stdout).toContain("sagemaker CreateTrainingJob\n");
  expect(stdout.trimEnd().split("\n").at(-1)).toBe("nothing was sent, and nothing started");
});

describe("a plan that was saved", () => {
  let text: string;
  beforeAll(async () => {
    text = JSON.stringify(await rehearsed("--epochs", "1"));
    await project.write("plan.json", text);
  });

  test("is carried out to the letter, whatever the config says by then", async () => {
    const { plan } = JSON.parse(text) as DryRun;
    await project.write("moxi.config.json", JSON.stringify({ epochs: 9 }));
    try {
      expect((await rehearsed("--plan", "plan.json")).plan).toEqual(plan);
    } finally {
      await rm(join(project.folder, "moxi.config.json"));
    }
    await project.write("bare.json", JSON.stringify(plan));
    expect((await rehearsed("--plan", "bare.json")).plan).toEqual(plan);
  });

  test("is not asked for together with what it cannot do", async () => {
    const given = ["--epochs", "9", "--lora.rank", "4", "--target", "local", "--seed=3"];
    expect(await refused("--plan", "plan.json", "--run-id", "ci-1", ...given)).toMatchObject({
      code: "E_USAGE",
      exitCode: 2,
      message:
        "a plan is carried out to the letter: --target, --epochs, --seed, --lora-rank cannot change it",
    });
    const same = [
      "--target",
      "sagemaker",
      "--split-eval-fraction",
      "0.05",
      "--strict=false",
      "--max-hours",
      "24",
    ];
    const { plan } = JSON.parse(text) as DryRun;
    expect((await rehearsed("--plan", "plan.json", ...same)).plan).toEqual(plan);
  });

  test("is held against a limit that is set beside it, and not changed by it", async () => {
    expect(await refused("--plan", "plan.json", "--max-usd", "5")).toMatchObject({
      code: "E_BUDGET",
      message: "the plan can cost $36.36, and maxUsd is 5",
    });
    expect(await refused("--plan", "plan.json", "--max-hours", "2")).toMatchObject({
      code: "E_BUDGET",
      message: "the plan may take 24h 00m, and maxHours is 2",
    });
    const { plan } = JSON.parse(text) as DryRun;
    expect((await rehearsed("--plan", "plan.json", "--max-usd", "36.36")).plan).toEqual(plan);
  });

  test("is refused where somebody has changed it, and where it is none", async () => {
    await project.write("other.json", text.replace('"epochs":1', '"epochs":2'));
    expect(await refused("--plan", "other.json")).toMatchObject({
      code: "E_PLAN",
      exitCode: 2,
      message: "other.json is no plan: it was changed: it does not have its planHash",
    });
    await project.write("none.json", "[]");
    expect(await refused("--plan", "none.json")).toMatchObject({ code: "E_PLAN" });
    expect(await refused("--plan", "absent.json")).toMatchObject({
      code: "E_PLAN",
      message: "absent.json is no plan: it cannot be read",
    });
  });

  test("is refused for other rows than it was made for", async () => {
    await project.write("more.json", JSON.stringify(exampleRows(44)));
    expect(await refused("--plan", "plan.json", "--dataset", "more.json")).toMatchObject({
      code: "E_PLAN",
      details: ["the dataset or its split"],
    });
  });
});

test("a run goes on within what is left of its limit, and not beyond", async () => {
  const own = { MOXI_SAGEMAKER_WARM_POOL_MINUTES: "10", MOXI_POLL_SECONDS: "0.2" };
  const poor = await createProject({ ...project.env, ...own });
  await poor.write("rows.json", JSON.stringify(exampleRows(40)));
  // 648 s, of which the machine is kept for 600: its Python has no PyTorch, and so it soon fails.
  const limited = ["--dataset", "rows.json", "--yes", "--max-hours", "0.18", "--json"];
  const { code, stdout } = await poor.moxi("train", ...limited);
  expect([code, stdout]).toEqual([1, expect.stringContaining('"type":"end"')]);
  await changes();
  const again = await poor.moxi("resume", "--yes", "--json");
  const { error } = JSON.parse(again.stdout.trimEnd().split("\n").at(-1)!) as { error: ErrorJson };
  expect(error).toMatchObject({
    code: "E_BUDGET",
    exitCode: 6,
    message: expect.stringMatching(/ has used up its limit of 10m 48s$/),
  });
  expect(again.code).toBe(6);
  expect(await changes()).toEqual([]);
  await poor.remove();
});

test("what training on AWS needs and is not there is told at once", async () => {
  const lacking = await createProject({ AWS_REGION: "us-east-1" });
  try {
    await lacking.write("rows.json", JSON.stringify(exampleRows(40)));
    const given = ["train", "--dataset", "rows.json", "--target", "sagemaker", "--json"];
    const { code, stdout } = await lacking.moxi(...given);
    expect(code).toBe(2);
    expect(stdout).toContain("AWS_ARN_ROLE: the role that the training job runs as");
    expect(stdout).toContain("AWS_S3_BUCKET: where data and models live");
  } finally {
    await lacking.remove();
  }
});
