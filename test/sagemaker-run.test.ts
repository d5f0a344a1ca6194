// Real trainings in the test cloud, by the real command line: machines that are taken away or not
// to be had, runs that go on without this machine's files, and models that were mirrored.
import { createHash } from "node:crypto";
import { readFile, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { GetObjectCommand, ListObjectsV2Command, S3Client } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { DryRun } from "../src/api/dry-run.ts";
import { openAws } from "../src/aws/aws.ts";
import type { CreateTrainingJobRequest } from "../src/aws/sagemaker.ts";
import { silentHost } from "../src/base/host.ts";
import { ensurePython } from "../src/python/ensure.ts";
import type { Attempt } from "../src/run/attempt.ts";
import type { View } from "../src/run/fold.ts";
import { setUpAccount } from "./cloud/account.ts";
import type { SetUp } from "./cloud/account.ts";
import { rehearsalImage, startCloud } from "./cloud/start.ts";
import type { Cloud } from "./cloud/start.ts";
import { startHub } from "./hub.ts";
import { createProject, exampleRows } from "./project.ts";
import type { Finished, Project } from "./project.ts";

interface Traced {
  readonly service: string;
  readonly operation: string;
  readonly values: Readonly<Record<string, unknown>>;
}

const settings = {
  dataset: "rows.json",
  split: { evalFraction: 0.1 },
  epochs: 2,
  effectiveBatch: 4,
  evalEverySteps: 10,
  saveEverySteps: 3,
  generationTokens: 4,
};
const second = "ml.g5.xlarge";
/** Six starts of PyTorch, on machines that do other things meanwhile. */
const minutes = (count: number) => count * 60_000;

let cloud: Cloud;
let account: SetUp;
let project: Project;
beforeAll(async () => {
  const { python } = await ensurePython({
    env: process.env,
    home: homedir(),
    lockFile: join(import.meta.dirname, "../trainer/locks/local.txt"),
    host: silentHost,
  });
  cloud = await startCloud(python);
  account = await setUpAccount(cloud);
  for (const kind of ["", "spot "]) {
    await cloud.order("quota", { name: `${second} for ${kind}training job usage`, value: 20 });
  }
  client = new S3Client({
    endpoint: cloud.endpoint,
    region: "us-east-1",
    forcePathStyle: true,
    credentials: {
      accessKeyId: cloud.env["AWS_ACCESS_KEY_ID"]!,
      secretAccessKey: cloud.env["AWS_SECRET_ACCESS_KEY"]!,
    },
  });
  project = await createProject({
    ...account.env,
    MOXI_SAGEMAKER_IMAGE: rehearsalImage,
    MOXI_POLL_SECONDS: "0.2",
  });
  await project.write("rows.json", JSON.stringify(exampleRows(44)));
  await project.write("moxi.config.json", JSON.stringify(settings));
});
afterAll(async () => {
  const bugs = (await cloud.order("bugs")) as string[];
  account.account.close();
  client.destroy();
  await project.remove();
  await cloud.stop();
  if (bugs.length > 0) throw new Error(bugs.join("\n"));
});
beforeEach(() => cloud.order("trace"));

/** What the account's user asked for since the last time, but for what only reads. */
async function changes(): Promise<Traced[]> {
  const trace = (await cloud.order("trace")) as (Traced & { readonly principal: string })[];
  const reads = /^(?:Get|Head|List|Describe|Simulate)/;
  return trace.filter(
    ({ operation, principal }) => !reads.test(operation) && principal.includes(":user/"),
  );
}

const train = (run: string, ...args: string[]) =>
  project.moxi("train", "--run-id", run, "--yes", "--json", ...args);

function viewOf({ code, stdout, stderr }: Finished, expected = 0): View {
  expect(code, stdout.slice(-2000) + stderr).toBe(expected);
  const last = JSON.parse(stdout.trimEnd().split("\n").at(-1)!) as { readonly view: View };
  return last.view;
}

let client: S3Client;

async function objects(prefix: string): Promise<string[]> {
  const input = { Bucket: account.bucket, Prefix: prefix };
  const { Contents = [] } = await client.send(new ListObjectsV2Command(input));
  return Contents.map(({ Key }) => Key!);
}

async function read(key: string): Promise<Uint8Array> {
  const { Body } = await client.send(new GetObjectCommand({ Bucket: account.bucket, Key: key }));
  return Body!.transformToByteArray();
}

/** The model that a job has left, by the files' names. */
async function modelOf(job: string): Promise<Record<string, Uint8Array>> {
  const prefix = `moxi/models/checkpoints/${job}/output/model/`;
  const keys = await objects(prefix);
  const files = await Promise.all(
    keys.map(async (key) => [key.slice(prefix.length), await read(key)] as const),
  );
  return Object.fromEntries(files);
}

async function untilTraining(job: string): Promise<void> {
  const aws = await openAws({ env: cloud.env, home: project.folder, host: silentHost });
  const sagemaker = await aws.sagemaker();
  for (;;) {
    const found = await sagemaker.describe(job);
    if (found?.secondary === "Training") break;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  aws.close();
}

const weights = "model.safetensors";
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

describe("a run", () => {
  let whole: Record<string, Uint8Array>;
  beforeAll(async () => {
    viewOf(await train("whole"));
    whole = await modelOf("moxi-whole-a1");
  }, minutes(5));

  test(
    "whose spot machines are taken away goes on elsewhere, without this machine's rows, and learns the same",
    async () => {
      const [first, next] = ["moxi-cut-a1", "moxi-cut-a2"];
      await cloud.order("interrupt", { job: first, at: ['"step":8,'] });
      await cloud.order("interrupt", { job: next, at: ['"type":"phase"', '"step":14,'] });
      const running = project.start(
        "train",
        "--run-id",
        "cut",
        "--yes",
        "--json",
        "--spot",
        "--fallbacks",
        second,
      );
      await untilTraining(first);
      const started = await changes();
      // No machine of the first type comes back, and the rows are gone from here.
      await cloud.order("capacity", { kind: "ml.g5.2xlarge", starts: 99 });
      await rm(join(project.folder, ".moxi/data"), { recursive: true });
      await rename(join(project.folder, "rows.json"), join(project.folder, "rows.away"));

      const view = viewOf(await running.finished);
      expect(view.attempts.map(({ name, outcome, boots }) => [name, outcome, boots])).toEqual([
        [first, "interrupted", 1],
        [next, "succeeded", 3],
      ]);
      expect(view.machine).toBe(second);
      expect(running.written.stderr).toBe("");
      expect(running.written.stdout).toContain(
        `ml.g5.2xlarge could not be had; asking for ${second}`,
      );

      const model = await modelOf(next);
      expect(sha256(model[weights]!)).toBe(sha256(whole[weights]!));

      const [one, two] = [...started, ...(await changes())]
        .filter(({ operation }) => operation === "CreateTrainingJob")
        .map(({ values }) => values as unknown as CreateTrainingJobRequest);
      expect(one).toMatchObject({
        EnableManagedSpotTraining: true,
        ResourceConfig: { InstanceType: "ml.g5.2xlarge" },
        StoppingCondition: { MaxRuntimeInSeconds: 86_400, MaxWaitTimeInSeconds: 172_800 },
      });
      expect(two!.ResourceConfig).toMatchObject({ InstanceType: second });
      const inputs = (request: CreateTrainingJobRequest) =>
        request.InputDataConfig!.filter(({ ChannelName }) => ChannelName !== "job");
      expect(inputs(two!)).toEqual(inputs(one!));
      // What the first machine was paid for is taken off the limit.
      const kept = await readFile(
        join(project.folder, ".moxi/runs/moxi-cut/attempts.ndjson"),
        "utf8",
      );
      const { maxSeconds, carriedSeconds } = JSON.parse(kept.split("\n")[1]!) as Attempt;
      expect(carriedSeconds).toBeGreaterThan(0);
      expect(maxSeconds! + carriedSeconds!).toBe(86_400);
      expect(two!.StoppingCondition!.MaxRuntimeInSeconds).toBe(maxSeconds);
      await rename(join(project.folder, "rows.away"), join(project.folder, "rows.json"));
      await cloud.order("capacity", { kind: "ml.g5.2xlarge", starts: 0 });
    },
    minutes(10),
  );

  test(
    "on a gated model gets it from the bucket, where it was copied once, and its card names the real one",
    async () => {
      const token = "hf_onlyForTheHub";
      const hub = await startHub({ id: "org/toy", files: whole, token, large: [weights] });
      const on = ["--model", "org/toy", "--method", "lora", "--epochs", "1"];
      const flags = [...on, "--fallbacks", second];
      const gated = await createProject({
        ...project.env,
        HF_ENDPOINT: hub.url,
        HF_TOKEN: token,
        XDG_CACHE_HOME: project.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"),
        HF_HOME: join(project.folder, "hf"),
      });
      try {
        await gated.write("rows.json", JSON.stringify(exampleRows(44)));
        await gated.write("moxi.config.json", JSON.stringify(settings));
        const done = await gated.moxi("train", "--run-id", "lora", "--yes", "--json", ...flags);
        viewOf(done);
        const prefix = `moxi/base/org--toy@${hub.sha}/`;
        const files = (await objects(prefix)).map((key) => key.slice(prefix.length));
        expect(files).toContain("moxi.base.json");
        expect(files).toContain(weights);
        expect(files).not.toContain("README.md");
        const [request] = (await changes())
          .filter(({ operation }) => operation === "CreateTrainingJob")
          .map(({ values }) => values as unknown as CreateTrainingJobRequest);
        expect(request!.ResourceConfig).toEqual({
          InstancePreferences: [{ InstanceType: "ml.g5.2xlarge" }, { InstanceType: second }],
          InstanceCount: 1,
          VolumeSizeInGB: 100,
        });
        expect(JSON.stringify(request)).not.toContain(token);

        const model = await modelOf("moxi-lora-a1");
        const adapter = JSON.parse(Buffer.from(model["adapter_config.json"]!).toString());
        expect(adapter).toMatchObject({ base_model_name_or_path: "org/toy", revision: hub.sha });
        expect(Buffer.from(model["README.md"]!).toString()).toContain('base_model: "org/toy"');

        hub.asked();
        const again = await gated.moxi("train", "--dry-run", "--json", ...flags);
        expect(again.code, again.stdout).toBe(0);
        const { requests } = JSON.parse(again.stdout.trimEnd().split("\n").at(-1)!) as DryRun;
        const puts = requests.map(({ input }) => String(input["Key"]));
        expect(puts.filter((key) => key.startsWith("moxi/base/"))).toEqual([]);
        expect(hub.asked().map((text) => text.split(" ")[0])).toEqual(["config.json"]);
      } finally {
        await hub.close();
        await gated.remove();
      }
    },
    minutes(10),
  );
});
