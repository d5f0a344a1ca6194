// What a cloud may do to somebody who follows a run from outside: lines that come late or are gone,
// files that somebody else has changed, a line that breaks.
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CloudWatchLogsClient, DeleteLogGroupCommand } from "@aws-sdk/client-cloudwatch-logs";
import { CreateBucketCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, beforeEach, describe, expect, it, test, vi } from "vitest";
import { carryOn } from "../src/api/carry-on.ts";
import { createContext } from "../src/api/context.ts";
import { logs } from "../src/api/logs.ts";
import { runs } from "../src/api/runs.ts";
import { show } from "../src/api/show.ts";
import { openAws } from "../src/aws/aws.ts";
import type { Attempt } from "../src/run/attempt.ts";
import type { Aws } from "../src/aws/aws.ts";
import type { CreateTrainingJobRequest } from "../src/aws/sagemaker.ts";
import { sha256 } from "../src/base/hash.ts";
import { silentHost } from "../src/base/host.ts";
import type { Notice } from "../src/base/host.ts";
import type { EndEvent, RunEvent } from "../src/run/event.ts";
import type { View } from "../src/run/fold.ts";
import { newRunId } from "../src/run/id.ts";
import { freezePlan } from "../src/run/plan.ts";
import { createRun, newAttempt, readRun, runsFolder } from "../src/store/runs.ts";
import { readSeen } from "../src/store/seen.ts";
import { follow } from "../src/targets/follow.ts";
import { createSageMakerTarget } from "../src/targets/sagemaker/index.ts";
import type { Submission, Target } from "../src/targets/target.ts";
import { setUpAccount } from "./cloud/account.ts";
import { rehearsalImage, startCloud } from "./cloud/start.ts";
import type { Cloud } from "./cloud/start.ts";
import { standInTrainer } from "./conformance/stand-in.ts";
import type { Behaviour } from "./conformance/suite.ts";
import { plan } from "./fixtures/story.ts";
import { createProject } from "./project.ts";

// Each test waits for jobs that run as processes of their own.
vi.setConfig({ testTimeout: 180_000 });

const clock = {
  now: () => new Date(),
  sleep: (milliseconds: number) =>
    new Promise<void>((resolve) => void setTimeout(resolve, milliseconds)),
};
let cloud: Cloud;
let aws: Aws;
let project: string;
let trainerFolder: string;
let roleArn: string;
let settings: Readonly<Record<string, string>>;
let dataset: Submission["dataset"];
let root: { s3: S3Client; logs: CloudWatchLogsClient };

beforeAll(async () => {
  cloud = await startCloud();
  project = await mkdtemp(join(tmpdir(), "moxi-remote-"));
  const { account, env, roleArn: made } = await setUpAccount(cloud);
  account.close();
  roleArn = made;
  settings = env;
  aws = await openAws({ env, home: project, host: silentHost });
  trainerFolder = await standInTrainer(project);
  dataset = { train: join(project, "train.jsonl"), eval: null };
  await writeFile(dataset.train, '{"text":"a"}\n');
  const config = {
    endpoint: cloud.endpoint,
    region: "us-east-1",
    credentials: {
      accessKeyId: cloud.env["AWS_ACCESS_KEY_ID"]!,
      secretAccessKey: cloud.env["AWS_SECRET_ACCESS_KEY"]!,
    },
  };
  const s3 = new S3Client({ ...config, forcePathStyle: true });
  root = { s3, logs: new CloudWatchLogsClient(config) };
});
afterAll(async () => {
  aws.close();
  root.s3.destroy();
  root.logs.destroy();
  await cloud.stop();
  await rm(project, { recursive: true, force: true });
});

/** A target as another process would open it: it has seen nothing yet. */
function openTarget(
  changes: {
    aws?: Aws;
    bucket?: string;
    drainMs?: number;
    spot?: boolean;
    fallbacks?: readonly string[];
  } = {},
): Target {
  const { spot, fallbacks } = changes;
  return createSageMakerTarget({
    aws: changes.aws ?? aws,
    host: silentHost,
    clock,
    wishes: { bucket: "team-data", roleArn, spot, fallbacks, sagemaker: { image: rehearsalImage } },
    sending: {
      wheels: () => Promise.resolve([]),
      trainerFolder,
      cache: join(project, "cache"),
      secrets: [],
    },
    pollMs: 20,
    drainMs: changes.drainMs ?? 5000,
    bucket: changes.bucket,
  });
}

async function newRun(target: Target, behaviour: Behaviour, home = project): Promise<Submission> {
  const run = newRunId(new Date());
  const { planHash: _, ...unhashed } = plan();
  const [machine] = await target.machines();
  const frozen = freezePlan({
    ...unhashed,
    target: "sagemaker",
    machine: machine!,
    cloud: await target.cloud(),
    prompts: [behaviour],
  });
  const attempt = newAttempt(run, 1, "sagemaker", clock.now());
  const { folder } = await createRun(runsFolder(home), run, frozen, attempt);
  return { run, folder, plan: frozen, attempt, dataset, modelFolder: null, adapterFolder: null };
}

async function watch(target: Target, submission: Submission) {
  const events: RunEvent[] = [];
  const logs: string[] = [];
  for await (const news of follow(target, [submission], { clock })) {
    events.push(...news.events);
    logs.push(...news.logs.map(({ text }) => text));
  }
  return { events, logs };
}

async function put(key: string, body: string): Promise<void> {
  await root.s3.send(new PutObjectCommand({ Bucket: "team-data", Key: key, Body: body }));
}

describe("a job that fails, when its last lines come late", () => {
  beforeAll(() => cloud.order("logs", { delay: 1 }));
  afterAll(() => cloud.order("logs", { delay: null }));

  test.each([
    ["raise 0", "ValueError: the last line of the traceback"],
    ["raise 25", "ValueError: the last line of the traceback"],
    ["exit 0", "the last line"],
    ["exit 25", "the last line"],
    ["killed 3", "the last line"],
  ])("%s steps", async (moment, last) => {
    const target = openTarget();
    const submission = await newRun(target, `fall silent after ${moment}`);
    await target.submit(submission);
    const { events, logs } = await watch(target, submission);
    expect(logs.at(-1)).toBe(last);
    expect(events.filter(({ type }) => type === "step")).toHaveLength(Number(moment.split(" ")[1]));
    expect(events.at(-1)).toMatchObject({ type: "end", outcome: "failed" });
  });

  it("is waited for by whoever saw it alive, however its clock differs", async () => {
    const ahead = { ...clock, now: () => new Date(Date.now() + 60_000) };
    const target = createSageMakerTarget({ aws, host: silentHost, clock: ahead, pollMs: 20 });
    const sender = openTarget();
    const submission = await newRun(sender, "fall silent after raise 2");
    await sender.submit(submission);
    while ((await target.status(submission)).state === "gone") await clock.sleep(5);
    const { events, logs } = await watch(target, submission);
    expect(events.at(-1)).toMatchObject({ type: "end", outcome: "failed" });
    expect(logs.at(-1)).toBe("ValueError: the last line of the traceback");
  });
});

it("tells the story of a run whose log has expired from its checkpoints", async () => {
  const target = openTarget();
  const submission = await newRun(target, "finish");
  await target.submit(submission);
  const before = await watch(target, submission);
  const group = { logGroupName: "/aws/sagemaker/TrainingJobs" };
  await root.logs.send(new DeleteLogGroupCommand(group));
  const after = await watch(openTarget({ drainMs: 0 }), submission);
  expect(after).toEqual({ events: before.events, logs: [] });
  expect((after.events.at(-1) as EndEvent).outcome).toBe("succeeded");
});

it("knows an attempt that another machine has made since", async () => {
  const home = join(project, "home");
  const target = openTarget();
  const submission = await newRun(target, "fall silent after raise 1", home);
  const { run, folder } = submission;
  await target.submit(submission);
  await watch(target, submission);
  const context = createContext({ cwd: home, home, env: settings, clock });
  expect(await runs(context)).toMatchObject([{ run, status: "failed", step: 1, steps: 100 }]);
  expect((await readSeen(folder))!.attempts).toBe(1);

  const elsewhere = join(project, "elsewhere");
  await mkdir(elsewhere);
  const attempt = newAttempt(run, 2, "sagemaker", clock.now());
  await target.submit({ ...submission, folder: elsewhere, attempt });
  await watch(target, { ...submission, folder: elsewhere, attempt });
  // The list has seen it to its end, and looks again all the same.
  expect(await runs(context)).toMatchObject([{ run, status: "failed" }]);
  expect((await readSeen(folder))!.attempts).toBe(2);
  const view = await show(context, { run });
  expect(view.attempts).toMatchObject([
    { name: `${run}-a1`, outcome: "failed" },
    { name: `${run}-a2`, outcome: "failed" },
  ]);
  const nowhere = createContext({ cwd: elsewhere, home: elsewhere, env: settings, clock });
  const last: string[] = [];
  for await (const { text } of logs(nowhere, { run })) last.push(text);
  expect(last.filter((text) => text === "the last line")).toHaveLength(2);
  const kept = (await readFile(join(folder, "attempts.ndjson"), "utf8")).trim().split("\n");
  expect(kept.map((line) => JSON.parse(line).nonce)).toEqual([
    submission.attempt.nonce,
    attempt.nonce,
  ]);
});

it("stops a job that the service does not find yet", async () => {
  const sagemaker = await aws.sagemaker();
  const sender = openTarget();
  const submission = await newRun(sender, "go on");
  const submittedAt = clock.now().toISOString();
  const accepted = { ...submission, attempt: { ...submission.attempt, submittedAt } };
  const answers: string[] = [];
  const stop = async (name: string) => {
    const answer = await sagemaker.stop(name);
    answers.push(answer);
    if (answer === "missing") await sender.submit(submission);
    return answer;
  };
  const early: Aws = { ...aws, sagemaker: () => Promise.resolve({ ...sagemaker, stop }) };
  await openTarget({ aws: early }).stop(accepted, "checkpoint");
  expect(answers).toEqual(["missing", "asked"]);
  while (
    (await aws.sagemaker().then((it) => it.describe(submission.attempt.name)))?.status !== "Stopped"
  ) {
    await clock.sleep(20);
  }
});

describe("a run that no spot machine could be had for", () => {
  afterAll(() => cloud.order("capacity", { kind: "ml.g5.2xlarge", starts: 0 }));

  it("asks for no other once somebody has asked it to end", async () => {
    const home = join(project, "capacity");
    const target = openTarget({ spot: true, fallbacks: ["ml.g5.xlarge"] });
    const submission = await newRun(target, "finish", home);
    // More than one: a job that another test has left may start just now.
    await cloud.order("capacity", { kind: "ml.g5.2xlarge", starts: 99 });
    await target.submit(submission);
    const context = createContext({ cwd: home, home, env: settings, clock });
    let view: View | undefined;
    const options = { run: submission.run, isWanted: () => false };
    for await (const update of carryOn(context, options)) view = update.view;
    expect(view).toMatchObject({ status: "failed", failure: { kind: "no capacity" } });
    expect((await readRun(submission.folder)).attempts).toHaveLength(1);
  });
});

it("lets go of whoever leaves while it does not answer", async () => {
  const mute = createServer(() => {});
  await new Promise<void>((listening) => mute.listen(0, "127.0.0.1", listening));
  const { port } = mute.address() as AddressInfo;
  const here = await createProject({ ...settings, AWS_ENDPOINT_URL: `http://127.0.0.1:${port}` });
  try {
    await newRun(openTarget(), "finish", here.folder);
    const { child, finished } = here.start("watch");
    await once(mute, "connection");
    child.kill("SIGINT");
    expect(await finished).toMatchObject({ code: 130 });
  } finally {
    mute.close();
    await here.remove();
  }
});

describe("what somebody else has written where a run is kept", () => {
  const run = "moxi-20261123-141207-calm-otter-7f3k";
  const place = `moxi/runs/${run}`;
  let good: { plan: string; attempt: string };
  let target: Target;

  beforeAll(async () => {
    target = openTarget({ bucket: "team-data" });
    const { plan: made, attempt: here } = await newRun(target, "finish");
    const { submittedAt: _, ...attempt } = here; // which is never sent
    good = {
      plan: JSON.stringify(made),
      attempt: JSON.stringify({ ...attempt, name: `${run}-a1` }),
    };
  });
  beforeEach(async () => {
    await put(`${place}/plan.json`, good.plan);
    await put(`${place}/attempts/1.json`, good.attempt);
  });

  it("is read where it is as it must be", async () => {
    // How far another machine came with handing it over is that machine's business.
    const { submittedAt: _, ...attempt } = JSON.parse(good.attempt) as Attempt;
    expect(await target.record(run)).toEqual({
      plan: JSON.parse(good.plan),
      attempts: [attempt],
    });
  });

  const hostile: readonly (readonly [string, string, (text: string) => string, string])[] = [
    ["no JSON", "plan.json", () => "\u001b[2J<html>", "no JSON"],
    ["another shape", "plan.json", () => '{"formatVersion":1}', "not as it must be"],
    [
      "a field of another kind",
      "plan.json",
      (t) => t.replace('"spot":false', '"spot":"; rm"'),
      "cloud.spot",
    ],
    ["another role", "plan.json", (t) => t.replace("moxi-execution", "admin"), "planHash"],
    ["far too much", "plan.json", (t) => t + " ".repeat(5 << 20), "far too large"],
    [
      "another run's attempt",
      "attempts/1.json",
      (t) => t.replaceAll(run, "moxi-x"),
      "not attempt 1",
    ],
    [
      "a nonce with escapes",
      "attempts/1.json",
      (t) => t.replace(/"nonce":"../, '"nonce":"\\u001b['),
      "not attempt 1",
    ],
    [
      "a machine that nobody has agreed to",
      "attempts/1.json",
      (t) => t.replace("{", '{"machine":"ml.p5.48xlarge",'),
      "a machine that its plan does not name",
    ],
    [
      "a price that is none",
      "attempts/1.json",
      (t) => t.replace("{", '{"price":{"perHour":"free"},'),
      "not attempt 1",
    ],
  ];
  test.each(hostile)("%s", async (_name, file, change, said) => {
    const text = file === "plan.json" ? good.plan : good.attempt;
    expect(change(text)).not.toBe(text);
    await put(`${place}/${file}`, change(text));
    const error = await target.record(run).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "E_RUN_FOLDER", message: expect.stringContaining(said) });
    expect((error as Error).message).toContain(`s3://team-data/${place}/${file}`);
  });

  it("a story with events that are none", async () => {
    const submission = await newRun(target, "finish", join(project, "story"));
    const stamp = { v: 1, run: submission.run, attempt: 1, boot: 1, at: "2026-11-23T14:12:07Z" };
    const good = { ...stamp, seq: 5, type: "resumed", fromStep: 2 };
    const story = [
      { ...stamp, seq: 1, type: "step" },
      { ...stamp, seq: 2, type: "eval", loss: "\u001b[2J" },
      { ...stamp, seq: 3, type: "end", outcome: "\u001b[31mowned", exitCode: 0 },
      { ...stamp, seq: 4, type: "unheard of" },
      good,
    ];
    const text = story.map((event) => `${JSON.stringify(event)}\n`).join("");
    await put(`moxi/checkpoints/${submission.run}/events.ndjson`, text);
    expect(await openTarget().milestones(submission)).toEqual([good]);
  });

  it("a bucket that the job names and the user may not read", async () => {
    await root.s3.send(new CreateBucketCommand({ Bucket: "strangers-data" }));
    const sagemaker = await aws.sagemaker();
    const create = (request: CreateTrainingJobRequest) =>
      sagemaker.create({ ...request, CheckpointConfig: { S3Uri: "s3://strangers-data/moxi/x/" } });
    const leading: Aws = { ...aws, sagemaker: () => Promise.resolve({ ...sagemaker, create }) };
    const submission = await newRun(target, "finish");
    await openTarget({ aws: leading }).submit(submission);
    await expect(openTarget().record(submission.run)).rejects.toMatchObject({
      code: "E_AWS_DENIED",
      message: expect.stringContaining("keeps its files in s3://strangers-data"),
      hint: expect.stringContaining("AWS_S3_BUCKET=strangers-data"),
    });
  });

  it("a plan of another target, which would be carried out here", async () => {
    const { planHash: _, ...unhashed } = JSON.parse(good.plan);
    await put(`${place}/plan.json`, JSON.stringify(freezePlan({ ...unhashed, target: "local" })));
    await expect(target.record(run)).rejects.toMatchObject({
      code: "E_RUN_FOLDER",
      message: expect.stringContaining("another target"),
    });
  });

  it("a plan of a run that lies in another bucket", async () => {
    const { planHash: _, ...unhashed } = JSON.parse(good.plan);
    const moved = freezePlan({ ...unhashed, cloud: { ...unhashed.cloud, bucket: "elsewhere" } });
    await put(`${place}/plan.json`, JSON.stringify(moved));
    await expect(target.record(run)).rejects.toMatchObject({
      code: "E_RUN_FOLDER",
      message: expect.stringContaining("elsewhere"),
    });
  });
});

describe("a model that is fetched", () => {
  const amount = { files: 1, bytes: 7 };

  it("comes out of an archive where the job has packed it", async () => {
    const sagemaker = await aws.sagemaker();
    const create = ({ OutputDataConfig, ...request }: CreateTrainingJobRequest) => {
      const { S3OutputPath } = OutputDataConfig!;
      return sagemaker.create({ ...request, OutputDataConfig: { S3OutputPath } });
    };
    const packing: Aws = { ...aws, sagemaker: () => Promise.resolve({ ...sagemaker, create }) };
    const target = openTarget({ aws: packing });
    const submission = await newRun(target, "finish");
    await target.submit(submission);
    await watch(target, submission);
    expect((await target.outputs(submission)).artifact).toMatch(/model\.tar\.gz$/);
    const folder = join(submission.folder, "model");
    const fetched = await target.fetch(submission, "artifact", folder, amount);
    expect(fetched).toEqual({ folder, ...amount, resumedBytes: 0 });
    expect(await readFile(join(folder, "weights"), "utf8")).toBe("trained");
    const beside = await readdir(submission.folder);
    expect(beside.filter((name) => name.startsWith("."))).toEqual([]);
  });

  it("is a checkpoint that is whole, by its sizes and its hashes", async () => {
    const told: string[] = [];
    const host = { notify: (notice: Notice) => void told.push(notice.text) };
    const target = createSageMakerTarget({ aws, host, clock });
    const submission = await newRun(openTarget(), "finish");
    const top = `moxi/checkpoints/${submission.run}/`;
    const write = async (step: string, weights: string, listed: string) => {
      const files = { weights: { bytes: weights.length, sha256: sha256(listed) } };
      await put(`${top}${step}/weights`, weights);
      await put(`${top}${step}/manifest.json`, JSON.stringify({ files }));
    };
    await write("step-000008", "good", "good");
    await write("step-000009", "evil", "good");
    await put(`${top}step-000010/weights`, "torn");
    await put(`${top}events.ndjson`, "");
    const folder = join(submission.folder, "checkpoints");
    const fetched = await target.fetch(submission, "checkpoint", folder);
    expect(fetched).toMatchObject({ folder: join(folder, "step-000008"), files: 2 });
    expect(await readFile(join(fetched.folder, "weights"), "utf8")).toBe("good");
    expect(await readdir(folder)).toEqual(["step-000008"]);
    expect(told.filter((text) => text.includes("is not whole"))).toEqual([
      "the checkpoint step-000010 is not whole: an older one is taken",
      "the checkpoint step-000009 is not whole: an older one is taken",
    ]);
  });

  it("is refused where it is not what the run told of, and nothing takes its place", async () => {
    const target = openTarget();
    const submission = await newRun(target, "finish");
    await target.submit(submission);
    await watch(target, submission);
    const { artifact } = await target.outputs(submission);
    await put(`${artifact.replace("s3://team-data/", "")}added`, "by somebody");
    const folder = join(submission.folder, "model");
    await expect(target.fetch(submission, "artifact", folder, amount)).rejects.toMatchObject({
      code: "E_S3_CHANGED",
    });
    expect(await readdir(submission.folder)).not.toContain("model");
  });
});
