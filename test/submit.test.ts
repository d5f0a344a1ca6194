// Submitting when the service answers late, badly or not at all: one attempt is one job.
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { openAws } from "../src/aws/aws.ts";
import type { Aws } from "../src/aws/aws.ts";
import type { CreateTrainingJobRequest } from "../src/aws/sagemaker.ts";
import { silentHost } from "../src/base/host.ts";
import { newRunId } from "../src/run/id.ts";
import { freezePlan } from "../src/run/plan.ts";
import type { Plan } from "../src/run/plan.ts";
import { createRun, newAttempt, runsFolder } from "../src/store/runs.ts";
import type { FetchModel } from "../src/targets/sagemaker/base-model.ts";
import { createSageMakerTarget } from "../src/targets/sagemaker/index.ts";
import type { Wishes } from "../src/targets/sagemaker/place.ts";
import type { Submission, Target } from "../src/targets/target.ts";
import { rehearsed, setUpAccount } from "./cloud/account.ts";
import type { SetUp } from "./cloud/account.ts";
import { rehearsalImage, startCloud } from "./cloud/start.ts";
import type { Cloud } from "./cloud/start.ts";
import { standInTrainer } from "./conformance/stand-in.ts";
import { plan } from "./fixtures/story.ts";

let cloud: Cloud;
let aws: Aws;
let project: string;
let target: Target;
let setUp: SetUp;
const clock = {
  now: () => new Date(),
  sleep: (milliseconds: number) =>
    new Promise<void>((resolve) => void setTimeout(resolve, milliseconds)),
};
beforeAll(async () => {
  cloud = await startCloud();
  project = await mkdtemp(join(tmpdir(), "moxi-submit-"));
  await writeFile(join(project, "train.jsonl"), '{"text":"a"}\n');
  setUp = await setUpAccount(cloud);
  const { env, roleArn } = setUp;
  aws = await openAws({ env, home: project, host: silentHost });
  target = await targetFor({ aws, roleArn });
});
afterAll(async () => {
  setUp.account.close();
  aws.close();
  await cloud.stop();
  await rm(project, { recursive: true, force: true });
});
beforeEach(() => cloud.order("trace"));

async function targetFor(given: {
  readonly aws: Aws;
  readonly roleArn: string;
  readonly sagemaker?: Wishes["sagemaker"];
  readonly sending?: { readonly cache: string; readonly fetchModel: FetchModel };
}): Promise<Target> {
  const { roleArn, sagemaker } = given;
  return createSageMakerTarget({
    aws: given.aws,
    host: silentHost,
    clock,
    wishes: { bucket: setUp.bucket, roleArn, sagemaker: { image: rehearsalImage, ...sagemaker } },
    sending: {
      wheels: () => Promise.resolve([]),
      trainerFolder: await standInTrainer(project),
      cache: join(project, "cache"),
      secrets: [],
      ...given.sending,
    },
    pollMs: 20,
    drainMs: 100,
  });
}

async function newRun(): Promise<Submission> {
  const { planHash: _, ...unhashed } = plan();
  return submissionOf(target, unhashed);
}

async function submissionOf(target: Target, unhashed: Omit<Plan, "planHash">): Promise<Submission> {
  const run = newRunId(new Date());
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

const kmsKey = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555";

/** A user and a role with the shipped policies, and with what the optional ones allow on the key. */
async function keyed(name: string) {
  const { account } = setUp;
  const both = async (file: string, optional: string, roleArn?: string) => {
    const policy = rehearsed(await account.policy(file, roleArn));
    const { Statement } = await account.policy(optional);
    const use = Statement.find(({ Sid }) => Sid === "KmsData");
    return { ...policy, Statement: [...policy.Statement, { ...use, Resource: kmsKey }] };
  };
  const trust = await account.policy("sagemaker-execution-trust");
  const rolePolicy = await both("sagemaker-execution", "sagemaker-execution-optional");
  const roleArn = await account.role(`role-${name}`, trust, rolePolicy);
  const userPolicy = await both("submitter-sagemaker", "submitter-optional", roleArn);
  return { roleArn, env: await account.user(`user-${name}`, userPolicy) };
}

interface Traced {
  readonly service: string;
  readonly operation: string;
  readonly principal: string;
  readonly values: Readonly<Record<string, string>>;
}

test.each([
  ["without a key", undefined, {}],
  ["under a key", kmsKey, { ServerSideEncryption: "aws:kms", SSEKMSKeyId: kmsKey }],
])(
  "%s: all that a run asks of S3 names the bucket's owner, and all that it puts there the key",
  async (name, key, encryption) => {
    const owner = { ExpectedBucketOwner: cloud.account };
    // What was sent under a key is not taken for a run whose role may not use it.
    const { roleArn, env } = key === undefined ? setUp : await keyed(name.replaceAll(" ", "-"));
    const place = join(project, name);
    const model = join(place, "model");
    await mkdir(model, { recursive: true });
    await writeFile(join(model, "config.json"), "{}");
    // So long that it is sent in parts.
    await writeFile(join(model, "model.safetensors"), Buffer.alloc(17 << 20));
    const aws = await openAws({ env, home: place, host: silentHost });
    const target = await targetFor({
      aws,
      roleArn,
      sagemaker: { mirrorModel: true, ...(key !== undefined && { kmsKey: key }) },
      sending: { cache: join(place, "cache"), fetchModel: () => Promise.resolve(model) },
    });
    const { planHash: _, recipe, ...rest } = plan();
    const base = { id: "org/model", revision: "a".repeat(40) };
    const submission = await submissionOf(target, {
      ...rest,
      recipe: { ...recipe, model: { ...base, fingerprint: null } },
      // It asks the hub, so that an attempt looks for the token of the one before.
      trackers: ["trackio"],
    });
    const planned = (await target.rehearse(submission)).filter(({ service }) => service === "s3");
    expect(planned.length).toBeGreaterThan(4);
    for (const { input } of planned) expect(input).toMatchObject({ ...owner, ...encryption });

    await target.submit(submission);
    const { run, folder } = submission;
    const kept = (await target.kept([submission]))!;
    const ended = async ({ attempt }: Submission) => {
      const ref = { ...submission, attempt };
      for (;;) {
        const { state, detail } = await target.status(ref);
        if (state === "ended") return;
        expect(state, detail).not.toBe("gone");
        await clock.sleep(50);
      }
    };
    await ended(submission);
    const found = await target.record(run);
    await target.record(run, found);
    expect(await target.milestones(submission)).not.toEqual([]);
    await target.fetch(submission, "artifact", join(place, "artifact"));
    const checkpoint = target.fetch(submission, "checkpoint", join(place, "checkpoint"));
    await expect(checkpoint).rejects.toMatchObject({ code: "E_RUN_STATE" }); // it has left none
    const attempt = newAttempt(run, 2, "sagemaker", clock.now());
    await target.submit({ run, folder, plan: submission.plan, attempt, kept });
    await ended({ ...submission, attempt });
    aws.close();

    const trace = (await cloud.order("trace")) as Traced[];
    const asked = trace.filter(
      ({ service, principal }) => service === "s3" && principal.includes(":user/"),
    );
    const makes = /^(?:PutObject|CreateMultipartUpload)$/;
    for (const { operation, values } of asked) {
      const { Bucket, Key, Prefix, ...said } = values;
      const expected = { ...owner, ...(makes.test(operation) ? encryption : {}) };
      expect(said, `${operation} ${Bucket}/${Key || Prefix}`).toEqual(expected);
    }
    const operations = new Set(asked.map(({ operation }) => operation));
    for (const operation of [
      "PutObject",
      "CreateMultipartUpload",
      "UploadPart",
      "CompleteMultipartUpload",
      "ListObjectsV2",
      "GetObject",
    ]) {
      expect(operations).toContain(operation);
    }
  },
);
