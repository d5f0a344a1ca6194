// Accounts that lack one thing each: `train` says so before a byte is sent, with the right exit
// code; what it prints mends it as printed, or names who can.
import { execFile } from "node:child_process";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import {
  CreateTrainingJobCommand,
  SageMakerClient,
  StopTrainingJobCommand,
} from "@aws-sdk/client-sagemaker";
import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createContext } from "../src/api/context.ts";
import type { Context } from "../src/api/context.ts";
import { dryRun } from "../src/api/dry-run.ts";
import { train } from "../src/api/train.ts";
import type { ErrorCode } from "../src/base/errors.ts";
import { MoxiError } from "../src/base/errors.ts";
import { openAccount, rehearsed } from "./cloud/account.ts";
import type { Account, Policy } from "./cloud/account.ts";
import { idleImage, rehearsalImage, startCloud } from "./cloud/start.ts";
import type { Cloud } from "./cloud/start.ts";
import { createProject, exampleRows } from "./project.ts";
import type { Project } from "./project.ts";

const bucket = "team-data";
const tools = join(import.meta.dirname, "../build/python-tools/bin");
const kms = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555";
const onDemand = (type: string) => `${type} for training job usage`;
const allOf = (kind: "" | "spot ") => `Number of instances across all ${kind}training jobs`;

let cloud: Cloud;
let account: Account;
let project: Project;
let trust: Policy;
let rolePolicy: Policy;
let goodRole: string;
let names = 0;

beforeAll(async () => {
  project = await createProject();
  await project.write("rows.json", JSON.stringify(exampleRows(40)));
  cloud = await startCloud(await idleImage(project.folder));
  account = openAccount(cloud, bucket);
  await account.bucket(bucket);
  trust = await account.policy("sagemaker-execution-trust");
  rolePolicy = rehearsed(await account.policy("sagemaker-execution"));
  goodRole = await account.role("trainer", trust, rolePolicy);
  for (const kind of ["", "spot "] as const) await quota(allOf(kind), 20);
  await quota(onDemand("ml.g5.2xlarge"), 1);
  await quota("Longest run time for a training job", 432_000);
});
afterAll(async () => {
  account.close();
  await cloud.stop();
  await project.remove();
});

const quota = (name: string, value: number) => cloud.order("quota", { name, value });
const rest = (sid: string, policy: Policy): Policy => ({
  ...policy,
  Statement: policy.Statement.filter((statement) => statement["Sid"] !== sid),
});
const allowed = (Action: string, policy: Policy): Policy => ({
  ...policy,
  Statement: [...policy.Statement, { Effect: "Allow", Action, Resource: "*" }],
});
const fresh = (word: string) => `${word}-${(names += 1)}`;

/** What a user has in the environment, and what the config says. */
interface World {
  readonly env: Readonly<Record<string, string>>;
  readonly flags?: Readonly<Record<string, unknown>>;
  readonly fetch?: typeof fetch;
}

/** A user with the shipped policy, changed; with a role and a bucket. */
async function person(
  given: {
    readonly roleArn?: string;
    readonly change?: (policy: Policy) => Policy;
    readonly bucket?: string;
  } = {},
): Promise<Readonly<Record<string, string>>> {
  const { roleArn = goodRole, change = (policy) => policy, bucket: own = bucket } = given;
  const policy = rehearsed(await account.policy("submitter-sagemaker", roleArn));
  const named = JSON.parse(JSON.stringify(policy).replaceAll(bucket, own)) as Policy;
  const keys = await account.user(fresh("person"), change(named));
  return {
    ...keys,
    AWS_S3_BUCKET: own,
    AWS_ARN_ROLE: roleArn,
    MOXI_SAGEMAKER_IMAGE: rehearsalImage,
  };
}

const without = async (sid: string): Promise<World> => ({
  env: await person({ change: (policy) => rest(sid, policy) }),
});
const roleWithout = async (sid: string): Promise<World> => ({
  env: await person({ roleArn: await account.role(fresh("role"), trust, rest(sid, rolePolicy)) }),
});

function contextOf({ env, fetch: own }: World): Context {
  return createContext({
    env: { ...env, HOME: project.folder },
    cwd: project.folder,
    home: project.folder,
    ...(own && { fetch: own }),
  });
}

const settings = ({ flags = {} }: World) => ({
  flags: { dataset: "rows.json", target: "sagemaker", ...flags },
});

/** What `train` ends with; it has looked, and neither written nor started anything. */
async function refusal(world: World): Promise<MoxiError> {
  await cloud.order("trace");
  const outcome = await train(contextOf(world), { ...settings(world), yes: true }).catch(
    (error: unknown) => error,
  );
  const trace = (await cloud.order("trace")) as { operation: string }[];
  const writes = trace.filter(({ operation }) => !/^(?:Get|List|Desc|Sim|Head)/.test(operation));
  expect(writes).toEqual([]);
  expect(outcome).toBeInstanceOf(MoxiError);
  return outcome as MoxiError;
}

/** Types a command as the account's owner, in a shell, exactly as it was printed. */
async function type(command: string): Promise<void> {
  const env = {
    ...cloud.env,
    AWS_DEFAULT_REGION: "us-east-1",
    HOME: project.folder,
    PATH: [tools, process.env["PATH"]].join(delimiter),
  };
  await promisify(execFile)("sh", ["-c", command], { env });
}

/** A job of somebody else's that runs until the end of the tests. */
async function occupy(instance: string, spot = false): Promise<() => Promise<void>> {
  const client = new SageMakerClient({
    endpoint: cloud.endpoint,
    region: "us-east-1",
    credentials: {
      accessKeyId: cloud.env["AWS_ACCESS_KEY_ID"]!,
      secretAccessKey: cloud.env["AWS_SECRET_ACCESS_KEY"]!,
    },
  });
  const TrainingJobName = fresh("moxi-other");
  await client.send(
    new CreateTrainingJobCommand({
      TrainingJobName,
      RoleArn: goodRole,
      AlgorithmSpecification: {
        TrainingImage: rehearsalImage,
        TrainingInputMode: "File",
        ContainerEntrypoint: ["python3"],
      },
      OutputDataConfig: { S3OutputPath: `s3://${bucket}/moxi/models` },
      ResourceConfig: { InstanceType: instance as "ml.g5.xlarge", InstanceCount: 1 },
      StoppingCondition: {
        MaxRuntimeInSeconds: 3600,
        ...(spot && { MaxWaitTimeInSeconds: 7200 }),
      },
      EnableManagedSpotTraining: spot,
    }),
  );
  return async () => {
    await client.send(new StopTrainingJobCommand({ TrainingJobName }));
    client.destroy();
  };
}

test("an account that is set up as the guide says passes", async () => {
  const world = { env: await person() };
  const { checks } = await dryRun(contextOf(world), settings(world));
  // Of the image of a rehearsal Moxi has no locked packages, and says so.
  const others = checks.filter(({ name, result }) => result !== "ok" && name !== "packages");
  expect(others).toEqual([]);
});

interface Broken {
  readonly build: () => Promise<World>;
  readonly code: ErrorCode;
  /** Of the message. */
  readonly says: RegExp;
  /** What AWS does after a request, or has been told elsewhere. */
  readonly afterwards?: (world: World) => Promise<void>;
}

describe("mended by the printed command", () => {
  const cases: Record<string, Broken> = {
    "no such bucket": {
      build: async () => ({ env: await person({ bucket: fresh("new-data") }) }),
      code: "E_S3_BUCKET",
      says: /^there is no bucket new-data-\d+$/,
    },
    "no such role": {
      build: async () => ({
        env: await person({ roleArn: goodRole.replace("trainer", "not-there") }),
      }),
      code: "E_AWS_ROLE",
      says: /^there is no role not-there$/,
    },
    "no such role, in a path": {
      build: async () => ({
        env: await person({
          roleArn: goodRole.replace("trainer", "teams/ml/deep"),
          // AWS knows no path of a role that is not there.
          change: (policy) => allowed("iam:GetRole", policy),
        }),
      }),
      code: "E_AWS_ROLE",
      says: /^there is no role deep$/,
    },
    "a role that trusts another service": {
      build: async () => {
        const lambda = JSON.stringify(trust).replaceAll("sagemaker", "lambda");
        const roleArn = await account.role(fresh("role"), JSON.parse(lambda), rolePolicy);
        return { env: await person({ roleArn }) };
      },
      code: "E_AWS_ROLE",
      says: /^SageMaker may not assume the role role-\d+$/,
    },
    "a role that trusts SageMaker for another account": {
      build: async () => {
        const other = JSON.stringify(trust).replaceAll("123456789012", "999999999999");
        const roleArn = await account.role(fresh("role"), JSON.parse(other), rolePolicy);
        return { env: await person({ roleArn }) };
      },
      code: "E_AWS_ROLE",
      says: /^SageMaker may not assume the role role-\d+$/,
    },
    "a role that may not read its inputs": {
      build: () => roleWithout("ReadInputs"),
      code: "E_AWS_DENIED",
      says: /^the role may not s3:GetObject \(to read its inputs\)$/,
    },
    "a role that may not write models and checkpoints": {
      build: () => roleWithout("WriteOutputs"),
      code: "E_AWS_DENIED",
      says: /^the role may not s3:PutObject \(to write checkpoints\); s3:PutObject \(to write models\)$/,
    },
    "a role that may not write its log": {
      build: () => roleWithout("Logs"),
      code: "E_AWS_DENIED",
      says: /^the role may not logs:CreateLogStream, logs:PutLogEvents \(to write its log\)$/,
    },
    "a role that may not fetch the image": {
      build: () => roleWithout("EcrPullDlc"),
      code: "E_AWS_DENIED",
      says: /^the role may not ecr:BatchGetImage, ecr:GetDownloadUrlForLayer/,
    },
    "a user who may not pass the role": {
      build: () => without("PassExecutionRoleToSageMakerOnly"),
      code: "E_AWS_DENIED",
      says: /^user\/person-\d+ may not iam:PassRole \(to hand the role to SageMaker\)$/,
    },
    "a user who may not send data": {
      build: () => without("BucketObjects"),
      code: "E_AWS_DENIED",
      says: /may not s3:GetObject, s3:PutObject, .* \(to send data to the bucket/,
    },
    "a user who may not list the bucket": {
      build: () => without("BucketList"),
      code: "E_AWS_DENIED",
      says: /may not s3:ListBucket, s3:ListBucketMultipartUploads \(to see what is in the bucket\)$/,
    },
    "a user who may not submit": {
      build: () => without("TrainingJobs"),
      code: "E_AWS_DENIED",
      says: /may not sagemaker:CreateTrainingJob, /,
    },
    "a user who may not read logs": {
      build: () => without("TailLogs"),
      code: "E_AWS_DENIED",
      says: /may not logs:GetLogEvents \(to follow the log\); logs:DescribeLogStreams/,
    },
    "a KMS key that neither user nor role may use": {
      build: async () => ({ env: await person(), flags: { "sagemaker.kmsKey": kms } }),
      code: "E_AWS_DENIED",
      says: /may not kms:GenerateDataKey \(to encrypt what is sent\); kms:Decrypt \(to read what the job has encrypted\)$/,
    },
    "a quota of 0": {
      build: async () => {
        await quota(onDemand("ml.g5.xlarge"), 0);
        return { env: await person(), flags: { instance: "ml.g5.xlarge" } };
      },
      code: "E_AWS_QUOTA",
      says: /^the quota "ml.g5.xlarge for training job usage" is 0 in us-east-1$/,
      afterwards: () => quota(onDemand("ml.g5.xlarge"), 1).then(() => {}),
    },
    "a spot quota of 0": {
      build: async () => {
        await quota("ml.g5.2xlarge for spot training job usage", 0);
        return { env: await person(), flags: { spot: true } };
      },
      code: "E_AWS_QUOTA",
      says: /^the quota "ml.g5.2xlarge for spot training job usage" is 0 in us-east-1$/,
      afterwards: () => quota("ml.g5.2xlarge for spot training job usage", 1).then(() => {}),
    },
    "a quota that another job uses": {
      build: async () => {
        await quota(onDemand("ml.g4dn.xlarge"), 1);
        await occupy("ml.g4dn.xlarge");
        return { env: await person(), flags: { instance: "ml.g4dn.xlarge" } };
      },
      code: "E_AWS_QUOTA",
      says: /^the quota "ml.g4dn.xlarge for training job usage" is 1 in us-east-1, and 1 runs now$/,
      afterwards: () => quota(onDemand("ml.g4dn.xlarge"), 2).then(() => {}),
    },
    "the account's cap over all types": {
      build: async () => {
        await quota("ml.g6.xlarge for spot training job usage", 5);
        await occupy("ml.g6.xlarge", true);
        await quota(allOf("spot "), 1);
        return { env: await person(), flags: { instance: "ml.g6.xlarge", spot: true } };
      },
      code: "E_AWS_QUOTA",
      says: /^the quota "Number of instances across all spot training jobs" is 1 in us-east-1, and 1 runs now$/,
      afterwards: () => quota(allOf("spot "), 20).then(() => {}),
    },
  };

  test.for(Object.entries(cases))("%s", async ([, { build, code, says, afterwards }]) => {
    const world = await build();
    const found = await refusal(world);
    expect(found.message).toMatch(says);
    expect(found.code).toBe(code);
    expect(found.hint).toBeTruthy();
    for (const { command } of [found, ...found.others]) {
      expect(command).not.toContain("\n");
      await type(command!);
    }
    await afterwards?.(world);
    const { checks } = await dryRun(contextOf(world), settings(world));
    expect(checks.filter(({ result }) => result === "failed")).toEqual([]);
  });
});

describe("mended by a person, who is told where", () => {
  const hub = (gated: number): typeof fetch => {
    const info = { id: "org/m", _id: "1", sha: "a".repeat(40), gated: "manual", tags: [] };
    return (input) => {
      const page = String(input instanceof Request ? input.url : input);
      if (page.includes("/api/models/")) return Promise.resolve(Response.json(info));
      const headers = { "x-error-code": "GatedRepo" };
      return Promise.resolve(new Response("", { status: gated, headers }));
    };
  };

  const cases: Record<string, Broken & { readonly hint: RegExp }> = {
    "keys that AWS does not know": {
      build: async () => ({
        env: { ...(await person()), AWS_ACCESS_KEY_ID: "AKIANOBODY0000000000" },
      }),
      code: "E_AWS_CREDENTIALS",
      says: /security token .* is invalid/,
      hint: /make a new one, or correct it/,
    },
    "a session that has expired": {
      build: async () => {
        const env = await person();
        await cloud.order("expire", { key: env["AWS_ACCESS_KEY_ID"]! });
        return { env };
      },
      code: "E_AWS_EXPIRED",
      says: /the credentials from AWS_ACCESS_KEY_ID have expired/,
      hint: /put new keys \(and AWS_SESSION_TOKEN\) where AWS_ACCESS_KEY_ID is set/,
    },
    "a stranger's bucket": {
      build: async () => {
        await cloud.order("stranger", { bucket: "their-data" });
        return { env: await person({ bucket: "their-data" }) };
      },
      code: "E_AWS_DENIED",
      says: /^s3:\/\/their-data belongs to another account$/,
      hint: /^choose a bucket of account 123456789012 in AWS_S3_BUCKET$/,
    },
    "a bucket in another region": {
      build: async () => {
        const s3 = new S3Client({
          endpoint: cloud.endpoint,
          region: "eu-west-1",
          forcePathStyle: true,
          credentials: {
            accessKeyId: cloud.env["AWS_ACCESS_KEY_ID"]!,
            secretAccessKey: cloud.env["AWS_SECRET_ACCESS_KEY"]!,
          },
        });
        const far = { LocationConstraint: "eu-west-1" } as const;
        await s3.send(
          new CreateBucketCommand({ Bucket: "far-data", CreateBucketConfiguration: far }),
        );
        s3.destroy();
        return { env: await person({ bucket: "far-data" }) };
      },
      code: "E_AWS_REGION",
      says: /it is in eu-west-1, not us-east-1/,
      hint: /^set AWS_REGION=eu-west-1, or use a bucket in us-east-1$/,
    },
    "a role of another account": {
      build: async () => ({
        env: await person({ roleArn: "arn:aws:iam::999999999999:role/trainer" }),
      }),
      code: "E_AWS_ROLE",
      says: /no role of account 123456789012$/,
      hint: /use a role of the account that your credentials belong to/,
    },
    "a role that is in a path": {
      build: async () => ({
        env: {
          ...(await person()),
          AWS_ARN_ROLE: goodRole.replace("trainer", "teams/trainer"),
        },
      }),
      code: "E_AWS_ROLE",
      says: /the role of that name is arn:aws:iam::123456789012:role\/trainer$/,
      hint: /^write AWS_ARN_ROLE=arn:aws:iam::123456789012:role\/trainer into \.env$/,
    },
    "a KMS key in another region": {
      build: async () => ({
        env: await person(),
        flags: { "sagemaker.kmsKey": kms.replace("us-east-1", "eu-west-1") },
      }),
      code: "E_CONFIG_INVALID",
      says: /key is in eu-west-1, and the job runs in us-east-1$/,
      hint: /^use a key of that region$/,
    },
    "an image that is not there": {
      build: async () => ({
        env: { ...(await person()), MOXI_SAGEMAKER_IMAGE: rehearsalImage.replace(":1", ":2") },
      }),
      code: "E_AWS_NOT_FOUND",
      says: /^there is no image rehearsal:2 in registry 763104351884$/,
      hint: /https:\/\/aws\.github\.io\/deep-learning-containers\//,
    },
    "an image in another region": {
      build: async () => ({
        env: {
          ...(await person()),
          MOXI_SAGEMAKER_IMAGE: rehearsalImage.replace("us-east-1", "eu-west-1"),
        },
      }),
      code: "E_CONFIG_INVALID",
      says: /^the image is in eu-west-1, and SageMaker reads images of us-east-1 alone$/,
      hint: /^copy it to a registry in us-east-1, or set AWS_REGION=eu-west-1$/,
    },
    "a gated model, without a token": {
      build: async () => ({
        env: await person(),
        flags: { model: "org/m" },
        fetch: hub(401),
      }),
      code: "E_MODEL_GATED",
      says: /^org\/m is gated or private/,
      hint: /accept its licence on https:\/\/huggingface\.co\/org\/m, then set HF_TOKEN/,
    },
    "a gated model, whose licence the token's account has not accepted": {
      build: async () => ({
        env: { ...(await person()), HF_TOKEN: "hf_x" },
        flags: { model: "org/m" },
        fetch: hub(403),
      }),
      code: "E_MODEL_GATED",
      says: /^your Hugging Face token may not read org\/m$/,
      hint: /accept its licence on https:\/\/huggingface\.co\/org\/m with the token's account/,
    },
    "longer than the service lets a job run": {
      build: async () => ({ env: await person(), flags: { maxHours: 140 } }),
      code: "E_AWS_QUOTA",
      says: /^the run may take 140h 00m, and the account allows a job 120h 00m$/,
      hint: /^--max-hours 120$/,
    },
    "a type that nobody can price": {
      build: async () => {
        await quota(onDemand("ml.g5.3xlarge"), 1);
        return { env: await person(), flags: { instance: "ml.g5.3xlarge" } };
      },
      code: "E_BUDGET",
      says: /^what ml\.g5\.3xlarge costs could not be found out$/,
      hint: /https:\/\/aws\.amazon\.com\/sagemaker\/ai\/pricing\//,
    },
  };

  test.for(Object.entries(cases))("%s", async ([, { build, code, says, hint }]) => {
    const found = await refusal(await build());
    expect(found.code).toBe(code);
    expect(found.message).toMatch(says);
    expect(found.hint).toMatch(hint);
    expect(found.command).toBeUndefined();
  });
});

/** What a person reads, from the first word of the error on. */
async function read(
  world: World,
  ...args: string[]
): Promise<{ code: number | null; text: string }> {
  const own = await createProject({ ...world.env });
  try {
    await own.write("rows.json", JSON.stringify(exampleRows(40)));
    const given = args.includes("--dataset") ? args : ["--dataset", "rows.json", ...args];
    const { code, stderr } = await own.moxi("train", "--target", "sagemaker", ...given);
    return { code, text: stderr.slice(stderr.indexOf("error  ")) };
  } finally {
    await own.remove();
  }
}

describe("at a terminal, each kind of trouble has its exit code", () => {
  test("2: no bucket; 4 and 5: each further problem has its own remedy", async () => {
    const world = { env: await person({ bucket: "nowhere-yet" }) };
    const none = await read(world, "--yes");
    expect(none.code).toBe(2);
    expect(none.text).toContain(
      [
        "error  there is no bucket nowhere-yet",
        "  fix  correct AWS_S3_BUCKET, or make it:",
        "       aws s3 mb s3://nowhere-yet --region us-east-1",
        " also  the role may not s3:ListBucket (to find its inputs in the bucket); ",
      ].join("\n"),
    );
    // For every prefix of a job, not only the one that was asked about.
    expect(none.text).toContain('"Condition":{"StringLike":{"s3:prefix":"moxi/*"}}');
    expect(none.text.endsWith(" code  E_S3_BUCKET\n")).toBe(true);
    await quota(onDemand("ml.g6.2xlarge"), 0);
    const two = await read(await roleWithout("Logs"), "--yes", "--instance", "ml.g6.2xlarge");
    expect(two.code).toBe(4);
    expect(two.text).toMatch(
      /^error {2}the role may not logs:CreateLogStream, .*\n {2}fix {2}somebody who manages the account types this:\n {7}aws iam put-role-policy --role-name role-\d+ .*\n also {2}the quota "ml\.g6\.2xlarge for training job usage" is 0 in us-east-1\n {2}fix {2}ask AWS for more, .*:\n {7}aws service-quotas request-service-quota-increase .*\n code {2}E_AWS_DENIED\n$/,
    );
  });

  test("3: the dataset; 5: the quota; 6: nobody has agreed; 8: nobody answers", async () => {
    const world = { env: await person() };
    await project.write("bad.json", "[{]");
    const bad = await read(world, "--yes", "--dataset", join(project.folder, "bad.json"));
    expect(bad).toMatchObject({ code: 3, text: expect.stringContaining("E_DATASET_SYNTAX") });
    await quota(onDemand("ml.g6.4xlarge"), 0);
    expect((await read(world, "--yes", "--instance", "ml.g6.4xlarge")).code).toBe(5);
    expect(await read(world)).toMatchObject({
      code: 6,
      text: expect.stringContaining("agree with --yes, or set a limit: --max-usd 10"),
    });
    const away = { env: { ...world.env, AWS_ENDPOINT_URL: "http://127.0.0.1:9" } };
    expect(await read(away, "--yes")).toMatchObject({
      code: 8,
      text: expect.stringContaining("check the network, HTTPS_PROXY and AWS_ENDPOINT_URL"),
    });
  });
});

test("what is granted later takes nothing away that was granted before", async () => {
  const world = await without("PassExecutionRoleToSageMakerOnly");
  await type((await refusal(world)).command!);
  const keyed = { ...world, flags: { "sagemaker.kmsKey": kms } };
  const found = await refusal(keyed);
  for (const { command } of [found, ...found.others]) await type(command!);
  const { checks } = await dryRun(contextOf(keyed), settings(keyed));
  expect(checks.filter(({ result }) => result === "failed")).toEqual([]);
});
