import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe } from "vitest";
import { openAws } from "../../src/aws/aws.ts";
import { silentHost } from "../../src/base/host.ts";
import { newRunId } from "../../src/run/id.ts";
import { freezePlan } from "../../src/run/plan.ts";
import { appendAttempt, createRun, newAttempt, readRun, runsFolder } from "../../src/store/runs.ts";
import { createSageMakerTarget } from "../../src/targets/sagemaker/index.ts";
import { openAccount } from "../cloud/account.ts";
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
  const roleArn = await setUp(cloud);
  const aws = await openAws({ env: cloud.env, home: project, host: silentHost });
  const clock = {
    now: () => new Date(),
    sleep: (milliseconds: number) =>
      new Promise<void>((resolve) => void setTimeout(resolve, milliseconds)),
  };
  const target = createSageMakerTarget({
    aws,
    host: silentHost,
    clock,
    wishes: { bucket: bucket.name, roleArn, sagemaker: { image: rehearsalImage } },
    sending: {
      wheels: () => Promise.resolve([]),
      trainerFolder: await standInTrainer(project),
      cache: join(project, "cache"),
      secrets: [],
    },
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
        cloud: await target.cloud(),
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
async function setUp(cloud: Cloud): Promise<string> {
  const account = openAccount(cloud, bucket.name);
  await account.bucket(bucket.name);
  const trust = await account.policy("sagemaker-execution-trust");
  const role = await account.role(roleName, trust, await account.policy("sagemaker-execution"));
  account.close();
  const all = "Number of instances across all training jobs";
  for (const name of ["ml.g5.2xlarge for training job usage", all]) {
    await cloud.order("quota", { name, value: 20 });
  }
  return role;
}
