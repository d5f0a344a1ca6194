// Submitting when the service answers late, badly or not at all: one attempt is one job.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { openAws } from "../src/aws/aws.ts";
import type { Aws } from "../src/aws/aws.ts";
import type { CreateTrainingJobRequest } from "../src/aws/sagemaker.ts";
import { silentHost } from "../src/base/host.ts";
import { newRunId } from "../src/run/id.ts";
import { freezePlan } from "../src/run/plan.ts";
import { createRun, newAttempt, runsFolder } from "../src/store/runs.ts";
import { createSageMakerTarget } from "../src/targets/sagemaker/index.ts";
import type { Submission, Target } from "../src/targets/target.ts";
import { setUpAccount } from "./cloud/account.ts";
import { rehearsalImage, startCloud } from "./cloud/start.ts";
import type { Cloud } from "./cloud/start.ts";
import { standInTrainer } from "./conformance/stand-in.ts";
import { plan } from "./fixtures/story.ts";

let cloud: Cloud;
let aws: Aws;
let project: string;
let target: Target;
const clock = {
  now: () => new Date(),
  sleep: (milliseconds: number) =>
    new Promise<void>((resolve) => void setTimeout(resolve, milliseconds)),
};
beforeAll(async () => {
  cloud = await startCloud();
  project = await mkdtemp(join(tmpdir(), "moxi-submit-"));
  await writeFile(join(project, "train.jsonl"), '{"text":"a"}\n');
  const { env, account, bucket, roleArn } = await setUpAccount(cloud);
  account.close();
  aws = await openAws({ env, home: project, host: silentHost });
  target = createSageMakerTarget({
    aws,
    host: silentHost,
    clock,
    wishes: { bucket, roleArn, sagemaker: { image: rehearsalImage } },
    sending: {
      wheels: () => Promise.resolve([]),
      trainerFolder: await standInTrainer(project),
      cache: join(project, "cache"),
      secrets: [],
    },
    pollMs: 20,
  });
});
afterAll(async () => {
  aws.close();
  await cloud.stop();
  await rm(project, { recursive: true, force: true });
});
beforeEach(() => cloud.order("trace"));

async function newRun(): Promise<Submission> {
  const run = newRunId(new Date());
  const { planHash: _, ...unhashed } = plan();
  const [machine] = await target.machines();
  const settings = await target.cloud();
  const rented = { target: "sagemaker", machine: machine!, cloud: settings } as const;
  const frozen = freezePlan({ ...unhashed, ...rented, prompts: ["finish"] });
  const attempt = newAttempt(run, 1, "sagemaker", clock.now());
  const { folder } = await createRun(runsFolder(project), run, frozen, attempt);
  const dataset = { train: join(project, "train.jsonl"), eval: null };
  return { run, folder, plan: frozen, attempt, dataset, modelFolder: null, adapterFolder: null };
}

const fault = (kind: string, times = 1) =>
  cloud.order("fault", { operation: "CreateTrainingJob", kind, times });

/** The attempts to create a job, and the jobs that there are of a run. */
async function jobs({ run }: Submission) {
  const trace = (await cloud.order("trace")) as { operation: string; values: unknown }[];
  const asked = trace
    .filter(({ operation }) => operation === "CreateTrainingJob")
    .map(({ values }) => (values as CreateTrainingJobRequest).TrainingJobName);
  const { ListTrainingJobsCommand, SageMakerClient } = await import("@aws-sdk/client-sagemaker");
  const client = new SageMakerClient({
    endpoint: cloud.endpoint,
    region: "us-east-1",
    credentials: {
      accessKeyId: cloud.env["AWS_ACCESS_KEY_ID"]!,
      secretAccessKey: cloud.env["AWS_SECRET_ACCESS_KEY"]!,
    },
  });
  const listed = await client.send(new ListTrainingJobsCommand({ NameContains: run }));
  client.destroy();
  return { asked, there: listed.TrainingJobSummaries!.map((job) => job.TrainingJobName) };
}

test("a service that asks for fewer requests gets the same one again, later", async () => {
  const submission = await newRun();
  await fault("throttle", 3);
  await target.submit(submission);
  const { name } = submission.attempt;
  expect(await jobs(submission)).toEqual({ asked: [name, name, name, name], there: [name] });
});

test("a lost answer makes no second job", async () => {
  const submission = await newRun();
  await fault("lost");
  await target.submit(submission);
  const { name } = submission.attempt;
  expect(await jobs(submission)).toEqual({ asked: [name, name], there: [name] });
});

test("a job whose answer was lost is not denied for what became of the second request", async () => {
  const submission = await newRun();
  await fault("lost");
  await fault("denied");
  await target.submit(submission);
  const { name } = submission.attempt;
  expect(await jobs(submission)).toEqual({ asked: [name, name], there: [name] });
});

test("a refused job is told, and the same attempt can be submitted again", async () => {
  const submission = await newRun();
  await fault("denied");
  await expect(target.submit(submission)).rejects.toMatchObject({ code: "E_AWS_DENIED" });
  expect((await jobs(submission)).there).toEqual([]);
  await target.submit(submission);
  expect((await jobs(submission)).there).toEqual([submission.attempt.name]);
});

test("of an attempt that was submitted, the next takes what it was given; of another, nothing", async () => {
  const submission = await newRun();
  expect(await target.kept([submission])).toBeNull();
  await target.submit(submission);
  const kept = await target.kept([submission]);
  expect(kept!.map(({ name }) => name).toSorted()).toEqual(["moxi", "train"]);
  const never = { ...submission, attempt: newAttempt(submission.run, 2, "sagemaker", clock.now()) };
  expect(await target.kept([submission, never])).toEqual(kept);
  const { planHash: _, ...unhashed } = submission.plan;
  const other = freezePlan({ ...unhashed, prompts: ["something else"] });
  expect(await target.kept([{ ...submission, plan: other }])).toBeNull();

  const s3 = await aws.s3();
  const bucket = { name: "team-data" };
  const train = kept!.find(({ name }) => name === "train")!.place;
  const { DeleteObjectCommand, S3Client } = await import("@aws-sdk/client-s3");
  const credentials = {
    accessKeyId: cloud.env["AWS_ACCESS_KEY_ID"]!,
    secretAccessKey: cloud.env["AWS_SECRET_ACCESS_KEY"]!,
  };
  const client = new S3Client({
    endpoint: cloud.endpoint,
    region: "us-east-1",
    forcePathStyle: true,
    credentials,
  });
  for (const { key } of await s3.list(bucket, train)) {
    await client.send(new DeleteObjectCommand({ Bucket: bucket.name, Key: key }));
  }
  client.destroy();
  expect(await target.kept([submission])).toBeNull();
});
