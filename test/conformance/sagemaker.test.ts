import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { S3Client, CreateBucketCommand } from "@aws-sdk/client-s3";
import { CreateRoleCommand, IAMClient, PutRolePolicyCommand } from "@aws-sdk/client-iam";
import { describe } from "vitest";
import { openAws } from "../../src/aws/aws.ts";
import { silentHost } from "../../src/base/host.ts";
import { newRunId } from "../../src/run/id.ts";
import { freezePlan } from "../../src/run/plan.ts";
import { appendAttempt, createRun, newAttempt, readRun, runsFolder } from "../../src/store/runs.ts";
import { createSageMakerTarget } from "../../src/targets/sagemaker/index.ts";
import { rehearsalImage, startCloud } from "../cloud/start.ts";
import type { Cloud } from "../cloud/start.ts";
import { plan } from "../fixtures/story.ts";
import { standInTrainer } from "./stand-in.ts";
import { describeTarget } from "./suite.ts";
import type { Harness } from "./suite.ts";

describe("the SageMaker target", () => {
  describeTarget(openSageMaker);
});

const bucket = { name: "team-data" };
const roleName = "moxi-execution";

async function openSageMaker(): Promise<Harness> {
  const cloud = await startCloud();
  const project = await mkdtemp(join(tmpdir(), "moxi-sagemaker-"));
  const dataset = { train: join(project, "train.jsonl"), eval: join(project, "eval.jsonl") };
  await writeFile(dataset.train, '{"text":"a"}\n');
  await writeFile(dataset.eval, '{"text":"b"}\n');
  const roleArn = await openAccount(cloud);
  const aws = await openAws({ env: cloud.env, home: project, host: silentHost });
  const clock = {
    now: () => new Date(),
    sleep: (milliseconds: number) =>
      new Promise<void>((resolve) => void setTimeout(resolve, milliseconds)),
  };
  const target = createSageMakerTarget({
    aws,
    bucket,
    roleArn,
    image: rehearsalImage,
    instance: "ml.g5.2xlarge",
    wheels: () => Promise.resolve([]),
    trainerFolder: await standInTrainer(project),
    cache: join(project, "cache"),
    secrets: [],
    host: silentHost,
    clock,
    pollMs: 20,
    drainMs: 1500,
  });
  return {
    target,
    async newRun(behaviour) {
      const run = newRunId(new Date());
      const { planHash: _, ...unhashed } = plan();
      const [machine] = await target.machines();
      const frozen = freezePlan({
        ...unhashed,
        target: "sagemaker",
        machine: machine!,
        prompts: [behaviour],
      });
      const attempt = newAttempt(run, 1, "sagemaker", clock.now());
      const { folder } = await createRun(runsFolder(project), run, frozen, attempt);
      const none = { modelFolder: null, adapterFolder: null };
      return { run, folder, plan: frozen, attempt, dataset, ...none };
    },
    async resumed(submission) {
      const record = await readRun(submission.folder);
      const number = record.attempts.length + 1;
      const attempt = newAttempt(submission.run, number, "sagemaker", clock.now());
      await appendAttempt(record, attempt);
      return { ...submission, attempt };
    },
    async crash({ attempt }) {
      await cloud.order("kill", { job: attempt.name });
    },
    async close() {
      aws.close();
      await cloud.stop();
      await rm(project, { recursive: true, force: true });
    },
  };
}

/** A bucket, the execution role with the shipped policies, and quota for the tests. */
async function openAccount(cloud: Cloud): Promise<string> {
  const { env, account } = cloud;
  const config = {
    endpoint: env["AWS_ENDPOINT_URL"]!,
    region: env["AWS_REGION"]!,
    credentials: {
      accessKeyId: env["AWS_ACCESS_KEY_ID"]!,
      secretAccessKey: env["AWS_SECRET_ACCESS_KEY"]!,
    },
  };
  const s3 = new S3Client({ ...config, forcePathStyle: true });
  await s3.send(new CreateBucketCommand({ Bucket: bucket.name }));
  const iam = new IAMClient(config);
  const document = async (name: string) => {
    const file = new URL(`../../infra/policies/${name}.json`, import.meta.url);
    return (await readFile(file, "utf8"))
      .replaceAll("BUCKET", bucket.name)
      .replaceAll("REGION", config.region)
      .replaceAll("DLC_ACCOUNT", "763104351884")
      .replaceAll("ACCOUNT", account);
  };
  const role = await iam.send(
    new CreateRoleCommand({
      RoleName: roleName,
      AssumeRolePolicyDocument: await document("sagemaker-execution-trust"),
    }),
  );
  await iam.send(
    new PutRolePolicyCommand({
      RoleName: roleName,
      PolicyName: "moxi",
      PolicyDocument: await document("sagemaker-execution"),
    }),
  );
  for (const name of [
    "ml.g5.2xlarge for training job usage",
    "Number of instances across all training jobs",
  ]) {
    await cloud.order("quota", { name, value: 20 });
  }
  s3.destroy();
  iam.destroy();
  return role.Role!.Arn!;
}
