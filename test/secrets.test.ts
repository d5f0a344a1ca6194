// The second canary: a job that needs the Hugging Face token, with keys and token set, looked for
// in every place that a job leaves something.
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { promisify } from "node:util";
import {
  CloudWatchLogsClient,
  paginateDescribeLogStreams,
  paginateGetLogEvents,
} from "@aws-sdk/client-cloudwatch-logs";
import {
  GetObjectCommand,
  PutObjectCommand,
  S3Client,
  paginateListObjectsV2,
} from "@aws-sdk/client-s3";
import {
  DescribeTrainingJobCommand,
  ListTagsCommand,
  SageMakerClient,
} from "@aws-sdk/client-sagemaker";
import {
  GetParameterCommand,
  ListTagsForResourceCommand,
  SSMClient,
  paginateDescribeParameters,
} from "@aws-sdk/client-ssm";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openAws } from "../src/aws/aws.ts";
import type { Aws } from "../src/aws/aws.ts";
import { silentHost } from "../src/base/host.ts";
import type { EndEvent } from "../src/run/event.ts";
import { newRunId } from "../src/run/id.ts";
import type { Job } from "../src/run/job.ts";
import { freezePlan } from "../src/run/plan.ts";
import { createRun, newAttempt, runsFolder } from "../src/store/runs.ts";
import { follow } from "../src/targets/follow.ts";
import { createSageMakerTarget } from "../src/targets/sagemaker/index.ts";
import { asksHub } from "../src/targets/sagemaker/secrets.ts";
import type { SecretVariables } from "../src/targets/sagemaker/secrets.ts";
import type { Submission, Target } from "../src/targets/target.ts";
import { openAccount } from "./cloud/account.ts";
import type { Account, Policy } from "./cloud/account.ts";
import { rehearsalImage, startCloud } from "./cloud/start.ts";
import type { Cloud } from "./cloud/start.ts";
import { standInTrainer } from "./conformance/stand-in.ts";
import type { Behaviour } from "./conformance/suite.ts";
import { plan } from "./fixtures/story.ts";

const token = `hf_CANARY${"canary0123456789".repeat(2)}`;
const bucket = "team-data";
const instance = "ml.g5.2xlarge";
const clock = {
  now: () => new Date(),
  sleep: (milliseconds: number) =>
    new Promise<void>((resolve) => void setTimeout(resolve, milliseconds)),
};

const kmsKey = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555";
/** The rights on the key that objects need, and parameters do not have of it. */
const keyForObjects = {
  Effect: "Allow",
  Action: ["kms:GenerateDataKey", "kms:Decrypt"],
  Resource: kmsKey,
  Condition: { StringEquals: { "kms:ViaService": "s3.us-east-1.amazonaws.com" } },
};

let cloud: Cloud;
let account: Account;
let project: string;
let trainerFolder: string;
let trust: Policy;
let rolePolicy: Policy;
let goodRole: string;
let lee: Readonly<Record<string, string>>;
let aws: Aws;
/** The root's own clients, which see everything. */
let root: { s3: S3Client; ssm: SSMClient; sagemaker: SageMakerClient; logs: CloudWatchLogsClient };

beforeAll(async () => {
  cloud = await startCloud();
  project = await mkdtemp(join(tmpdir(), "moxi-secrets-"));
  trainerFolder = await standInTrainer(project);
  await writeFile(join(project, "train.jsonl"), '{"text":"a"}\n');
  account = openAccount(cloud, bucket);
  await account.bucket(bucket);
  trust = await account.policy("sagemaker-execution-trust");
  rolePolicy = withObjects(await account.policy("sagemaker-execution"));
  goodRole = await account.role("trainer", trust, rolePolicy);
  const userPolicy = await account.policy("submitter-sagemaker", goodRole);
  lee = await account.user("lee", withObjects(userPolicy));
  aws = await openAws({ env: { ...lee, HF_TOKEN: token }, home: project, host: silentHost });
  for (const name of [
    `${instance} for training job usage`,
    "Number of instances across all training jobs",
  ]) {
    await cloud.order("quota", { name, value: 20 });
  }
  const config = {
    endpoint: cloud.endpoint,
    region: "us-east-1",
    credentials: {
      accessKeyId: cloud.env["AWS_ACCESS_KEY_ID"]!,
      secretAccessKey: cloud.env["AWS_SECRET_ACCESS_KEY"]!,
    },
  };
  root = {
    s3: new S3Client({ ...config, forcePathStyle: true }),
    ssm: new SSMClient(config),
    sagemaker: new SageMakerClient(config),
    logs: new CloudWatchLogsClient(config),
  };
});
afterAll(async () => {
  aws.close();
  account.close();
  for (const client of Object.values(root)) client.destroy();
  await cloud.stop();
  await rm(project, { recursive: true, force: true });
});

const withObjects = (policy: Policy): Policy => ({
  ...policy,
  Statement: [...policy.Statement, keyForObjects],
});
const without = (...sids: string[]) => ({
  ...rolePolicy,
  Statement: rolePolicy.Statement.filter(({ Sid }) => !sids.includes(Sid as string)),
});

interface Changes {
  readonly variables?: SecretVariables;
  readonly roleArn?: string;
  readonly kmsKey?: string;
  readonly as?: Aws;
}

function targetFor({ variables, roleArn = goodRole, kmsKey, as = aws }: Changes = {}) {
  const key = kmsKey === undefined ? {} : { kmsKey };
  return createSageMakerTarget({
    aws: as,
    host: silentHost,
    clock,
    wishes: { bucket, roleArn, instance, sagemaker: { image: rehearsalImage, ...key } },
    sending: {
      wheels: () => Promise.resolve([]),
      trainerFolder,
      cache: join(project, "cache"),
      secrets: [token, lee["AWS_SECRET_ACCESS_KEY"]!],
      variables: variables ?? { HF_TOKEN: token },
    },
    pollMs: 20,
    drainMs: 1500,
  });
}

async function newRun(target: Target, behaviour: Behaviour, model = "org/gated") {
  const run = newRunId(new Date());
  const { planHash: _, ...unhashed } = plan({ model, method: "lora" });
  const [machine] = await target.machines();
  const cloudSettings = await target.cloud();
  const told = { target: "sagemaker" as const, cloud: cloudSettings, prompts: [behaviour] };
  const frozen = freezePlan({ ...unhashed, ...told, machine: machine! });
  const attempt = newAttempt(run, 1, "sagemaker", clock.now());
  const { folder } = await createRun(runsFolder(project), run, frozen, attempt);
  const dataset = { train: join(project, "train.jsonl"), eval: null };
  const none = { modelFolder: null, adapterFolder: null };
  return { run, folder, plan: frozen, attempt, dataset, ...none };
}

/** Follows a run to its end; all that it told, as text, and how it ended. */
async function followed(target: Target, run: Submission) {
  const told: unknown[] = [];
  let end: EndEvent | undefined;
  for await (const news of follow(target, [run], { clock })) {
    told.push(news.events, news.logs, news.status);
    end = news.events.find((event) => event.type === "end") ?? end;
  }
  return { text: JSON.stringify(told), end };
}

async function parameters(): Promise<string[]> {
  const names: string[] = [];
  for await (const page of paginateDescribeParameters({ client: root.ssm }, {})) {
    names.push(...page.Parameters!.map(({ Name }) => Name!));
  }
  return names.sort();
}

async function valueOf(name: string): Promise<string> {
  const asked = new GetParameterCommand({ Name: name, WithDecryption: true });
  return (await root.ssm.send(asked)).Parameter!.Value!;
}

interface Process {
  readonly environ: string;
  readonly cmdline: string;
}

/** The processes of a job's container, as anybody of this user sees them. */
async function processesOf(job: string): Promise<Process[]> {
  const found: Process[] = [];
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    try {
      const [environ = "", cmdline = ""] = await Promise.all(
        ["environ", "cmdline"].map((name) => readFile(join("/proc", pid, name), "latin1")),
      );
      if (environ.includes(`/${job}-`)) found.push({ environ, cmdline });
    } catch {
      continue; // it has ended, or is somebody else's
    }
  }
  return found;
}

async function contents(folder: string): Promise<string> {
  const found = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = found.filter((entry) => entry.isFile());
  const texts = await Promise.all(
    files.map((file) => readFile(join(file.parentPath, file.name), "latin1")),
  );
  return texts.join("\n");
}

async function bucketContents(): Promise<string> {
  const texts: string[] = [];
  for await (const page of paginateListObjectsV2({ client: root.s3 }, { Bucket: bucket })) {
    for (const { Key } of page.Contents ?? []) {
      const { Body } = await root.s3.send(new GetObjectCommand({ Bucket: bucket, Key: Key! }));
      texts.push(Key!, await Body!.transformToString("latin1"));
    }
  }
  return texts.join("\n");
}

async function logContents(): Promise<string> {
  const group = { logGroupName: "/aws/sagemaker/TrainingJobs" };
  const texts: string[] = [];
  for await (const { logStreams = [] } of paginateDescribeLogStreams(
    { client: root.logs },
    group,
  )) {
    for (const { logStreamName } of logStreams) {
      const asked = { ...group, logStreamName, startFromHead: true };
      const pages = paginateGetLogEvents({ client: root.logs, stopOnSameToken: true }, asked);
      for await (const { events = [] } of pages) texts.push(...events.map((each) => each.message!));
    }
  }
  return texts.join("\n");
}

async function description(job: string): Promise<string> {
  const told = await root.sagemaker.send(new DescribeTrainingJobCommand({ TrainingJobName: job }));
  const tags = await root.sagemaker.send(
    new ListTagsCommand({ ResourceArn: told.TrainingJobArn! }),
  );
  return JSON.stringify([told, tags.Tags]);
}

test.runIf(process.platform === "linux")(
  "the token is in its parameter and in the trainer's environment; no key is anywhere",
  async () => {
    await cloud.order("trace");
    const target = targetFor();
    const run = await newRun(target, "confess");
    await target.submit(run);

    let processes: Process[] = [];
    while (!processes.some(({ cmdline }) => cmdline.includes("moxi_train.finetune.main"))) {
      await clock.sleep(20);
      processes = await processesOf(run.attempt.name);
    }
    const trainer = processes.filter(({ cmdline }) => cmdline.includes("finetune.main"));
    expect([processes.length, trainer.length]).toEqual([2, 1]);
    const variables = trainer[0]!.environ.split("\0");
    expect(variables).toContain(`HF_TOKEN=${token}`);
    const others = processes.filter((each) => each !== trainer[0]).map(({ environ }) => environ);
    expect(others.join("\0")).not.toContain(token);
    expect(processes.map(({ cmdline }) => cmdline).join("\0")).not.toContain(token);
    const everyEnvironment = processes.map(({ environ }) => environ).join("\0");
    expect(everyEnvironment).not.toMatch(/AWS_|A[SK]IA[0-9A-Z]{16}|_credentials/);

    const container = variables.find((text) => text.startsWith("MOXI_ML_ROOT="))!.slice(13);
    await writeFile(join(container, "checkpoints/confessed"), "");
    const told = await followed(target, run);
    expect(told.end).toMatchObject({ outcome: "failed" });
    expect(told.end!.error).toMatch(/^ValueError: 401 for \[HF_TOKEN\]\n/);
    expect(told.text).toContain("authorization: Bearer [HF_TOKEN]");
    expect(told.text).toContain("the token is [HF_TOKEN]");

    const places = {
      description: await description(run.attempt.name),
      logs: await logContents(),
      bucket: await bucketContents(),
      runs: await contents(join(project, ".moxi")),
      container: await contents(dirname(container)),
      told: told.text,
    };
    const secretKey = lee["AWS_SECRET_ACCESS_KEY"]!;
    const encoded = btoa(`me:${token}`).slice(8, 24);
    const words = [token, token.slice(0, 20), encoded, secretKey, lee["AWS_ACCESS_KEY_ID"]!];
    for (const [place, text] of Object.entries(places)) {
      // What has to be found is found: the search looks where it should.
      expect(text, place).toContain(run.run);
      expect([place, ...words.filter((word) => text.includes(word))]).toEqual([place]);
      expect(text, place).not.toMatch(/ASIA[0-9A-F]{16}/);
    }

    const job = JSON.parse(await readFile(join(run.folder, "sent/job-a1-job.json"), "utf8")) as Job;
    const name = job.secrets[0]!.parameter;
    expect(job.secrets).toEqual([{ name: "HF_TOKEN", parameter: name, region: "us-east-1" }]);
    expect(name).toMatch(/^\/moxi\/hf-token\/[0-9a-f]{20}$/);
    expect(await valueOf(name)).toBe(token);
    const tags = await root.ssm.send(
      new ListTagsForResourceCommand({ ResourceType: "Parameter", ResourceId: name }),
    );
    expect(tags.TagList).toEqual([{ Key: "moxi:managed", Value: "true" }]);

    const trace = (await cloud.order("trace")) as { operation: string; principal: string }[];
    const holding = trace.filter((each) => JSON.stringify(each).includes(token));
    expect(holding.map(({ operation }) => operation)).toEqual(["PutParameter"]);
    const read = trace.filter(({ operation }) => operation === "GetParameter");
    expect(read.map(({ principal }) => principal)).toContain(
      `arn:aws:sts::123456789012:assumed-role/trainer/SageMaker-${run.attempt.name}`,
    );
  },
);

describe("a parameter", () => {
  /** Submits a run that has these variables; what its job refers to. */
  async function stored(changes: Changes): Promise<string[]> {
    const target = targetFor(changes);
    const run = await newRun(target, "finish");
    await target.submit(run);
    const job = await readFile(join(run.folder, "sent/job-a1-job.json"), "utf8");
    expect((await followed(target, run)).end).toMatchObject({ outcome: "succeeded" });
    return (JSON.parse(job) as Job).secrets.map(({ parameter }) => parameter);
  }

  test("is stored once; another value or key gets its own", async () => {
    const before = await parameters();
    const variables = { HF_TOKEN: "hf_first_of_all" };
    const first = await stored({ variables });
    expect(await stored({ variables })).toEqual(first);
    const second = await stored({ variables: { HF_TOKEN: "hf_second_one" } });
    const keyed = await stored({ variables, kmsKey });
    const made = [...first, ...second, ...keyed];
    expect(new Set(made).size).toBe(3);
    expect(await Promise.all(made.map(valueOf))).toEqual([
      "hf_first_of_all",
      "hf_second_one",
      "hf_first_of_all",
    ]);
    expect(await parameters()).toEqual([...before, ...made].sort());
  });

  test.each(["", "hf_1", "hf_with a blank", "hf_two\nlines", `hf_${"x".repeat(4096)}`])(
    "is not made of %j",
    async (value) => {
      const before = await parameters();
      const target = targetFor({ variables: { HF_TOKEN: value } });
      await expect(target.submit(await newRun(target, "finish"))).rejects.toMatchObject({
        code: "E_CONFIG_INVALID",
        place: { field: "HF_TOKEN" },
      });
      expect(await parameters()).toEqual(before);
    },
  );

  test("is not made for a model that the job does not fetch, nor for one without a network", async () => {
    const before = await parameters();
    const target = targetFor({ variables: { HF_TOKEN: "hf_not_needed_here" } });
    const run = await newRun(target, "finish", "moxi:tiny");
    await target.submit(run);
    expect((await followed(target, run)).end).toMatchObject({ outcome: "succeeded" });
    const { plan: open } = await newRun(target, "finish");
    expect(asksHub(open)).toBe(true);
    expect(asksHub({ ...open, cloud: { ...open.cloud!, networkIsolation: true } })).toBe(false);
    const model = { ...open.recipe.model, fingerprint: "f".repeat(64) };
    expect(asksHub({ ...open, recipe: { ...open.recipe, model } })).toBe(false);
    expect(await parameters()).toEqual(before);
  });

  test("of the attempt before serves whoever goes on without the token", async () => {
    const with_ = targetFor({ variables: { HF_TOKEN: "hf_of_the_first_machine" } });
    const run = await newRun(with_, "finish");
    await with_.submit(run);
    await followed(with_, run);
    const attempt = newAttempt(run.run, 2, "sagemaker", clock.now());
    // Another machine: the cloud has the run's files, and this folder is empty.
    const folder = join(project, "elsewhere", run.run);
    await mkdir(folder, { recursive: true });
    const without_ = targetFor({ variables: {} });
    const kept = (await without_.kept([run]))!;
    await without_.submit({ run: run.run, folder, plan: run.plan, attempt, kept });
    const secrets = async (from: string, number: number) =>
      (JSON.parse(await readFile(join(from, `sent/job-a${number}-job.json`), "utf8")) as Job)
        .secrets;
    expect(await secrets(folder, 2)).toEqual(await secrets(run.folder, 1));
    const second = { ...run, folder, attempt };
    expect((await followed(without_, second)).end).toMatchObject({ outcome: "succeeded" });

    // Whoever can write into the bucket names no other secret of the account.
    const Key = `moxi/runs/${run.run}/job-a2/job.json`;
    const foreign = [{ name: "HF_TOKEN", parameter: "/prod/database", region: "us-east-1" }];
    const third = newAttempt(run.run, 3, "sagemaker", clock.now());
    const goOn = async (Body: string) => {
      await root.s3.send(new PutObjectCommand({ Bucket: bucket, Key, Body }));
      await without_.submit({ run: run.run, folder, plan: run.plan, attempt: third, kept });
    };
    await expect(goOn('{"secrets":[')).rejects.toMatchObject({
      code: "E_RUN_FOLDER",
      place: { file: `s3://${bucket}/${Key}` },
    });
    await goOn(JSON.stringify({ secrets: foreign }));
    expect(await secrets(folder, 3)).toEqual([]);
    await followed(without_, { ...second, attempt: third });
  });

  test("is named, never shown, by a rehearsal", async () => {
    const before = await parameters();
    const target = targetFor({ variables: { HF_TOKEN: "hf_only_rehearsed" }, kmsKey });
    const [first] = await target.rehearse(await newRun(target, "finish"));
    expect(first).toMatchObject({
      service: "ssm",
      operation: "PutParameter",
      input: { Type: "SecureString", Value: "(hidden)", KeyId: kmsKey },
    });
    expect(await parameters()).toEqual(before);
  });

  test("that may not be stored: nothing is sent, and the printed command mends it", async () => {
    const policy = await account.policy("submitter-sagemaker", goodRole);
    const Statement = policy.Statement.filter(({ Sid }) => Sid !== "HfTokenStore");
    const env = await account.user("max", { ...policy, Statement });
    const as = await openAws({ env, home: project, host: silentHost });
    const target = targetFor({ variables: { HF_TOKEN: "hf_token_of_max" }, as });
    const run = await newRun(target, "finish");
    await cloud.order("trace");
    const error = await target.submit(run).then(
      () => undefined,
      (thrown: unknown) =>
        thrown as { code: string; message: string; hint: string; command: string },
    );
    expect(error).toMatchObject({ code: "E_AWS_DENIED" });
    expect(error!.message).toContain("ssm:PutParameter");
    const trace = (await cloud.order("trace")) as { operation: string }[];
    expect(trace.map(({ operation }) => operation)).toEqual(["PutParameter", "GetCallerIdentity"]);

    const tools = join(import.meta.dirname, "../build/python-tools/bin");
    await promisify(execFile)("sh", ["-c", error!.command], {
      env: {
        ...cloud.env,
        AWS_DEFAULT_REGION: "us-east-1",
        HOME: project,
        PATH: [tools, process.env["PATH"]].join(delimiter),
      },
    });
    await target.submit(run);
    expect((await followed(target, run)).end).toMatchObject({ outcome: "succeeded" });
    as.close();
  });
});

describe("a job", () => {
  test.each([
    ["HfToken", {}, "ssm:GetParameter"],
    ["HfTokenKey", { kmsKey }, "kms:Decrypt"],
  ])("whose role lacks %s fails before it trains", async (sid, changes, permission) => {
    const roleArn = await account.role(`without-${sid}`, trust, without(sid));
    const policy = withObjects(await account.policy("submitter-sagemaker", roleArn));
    const env = await account.user(`submits-without-${sid}`, policy);
    const as = await openAws({ env, home: project, host: silentHost });
    const target = targetFor({ roleArn, as, ...changes });
    const run = await newRun(target, "finish");
    const [check] = (await target.preflight(run.plan)).filter(
      ({ name }) => name === "role permissions",
    );
    expect(check).toMatchObject({ result: "failed" });
    expect(check!.message).toContain(permission);
    await target.submit(run);
    const { end, text } = await followed(target, run);
    expect(end!.error).toMatch(/^SecretError: HF_TOKEN could not be read from \/moxi\/hf-token\//);
    expect(end!.error).toContain(`lacks the permission ${permission}`);
    expect(text).not.toContain('"name":"training"');
    expect(await description(run.attempt.name)).toContain("AlgorithmError: SecretError: HF_TOKEN");
    as.close();
  });

  test("keeps what it was given when it is submitted again with another token", async () => {
    const first = targetFor();
    const run = await newRun(first, "finish");
    await first.submit(run);
    const sent = await readFile(join(run.folder, "sent/job-a1-job.json"), "utf8");
    const later = targetFor({ variables: { HF_TOKEN: "hf_another_by_now" } });
    await later.submit(run);
    expect(await readFile(join(run.folder, "sent/job-a1-job.json"), "utf8")).toBe(sent);
    expect((await followed(later, run)).end).toMatchObject({ outcome: "succeeded" });
  });
});
