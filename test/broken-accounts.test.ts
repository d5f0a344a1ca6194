// Accounts that lack something: the right check says so before a byte is sent, and the aws-cli
// command that it prints mends it as printed.
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { judgeAccount, lookAtAccount } from "../src/account/check-account.ts";
import { readPrice } from "../src/account/price.ts";
import type { Wanted } from "../src/account/wanted.ts";
import { openAws } from "../src/aws/aws.ts";
import type { ErrorCode } from "../src/base/errors.ts";
import { errorKinds } from "../src/base/errors.ts";
import { silentHost } from "../src/base/host.ts";
import type { Check } from "../src/run/check.ts";
import { openAccount, rehearsed } from "./cloud/account.ts";
import type { Account, Policy } from "./cloud/account.ts";
import { rehearsalImage, startCloud } from "./cloud/start.ts";
import type { Cloud } from "./cloud/start.ts";

const bucket = "team-data";
const instance = "ml.g5.2xlarge";
const typeQuota = `${instance} for training job usage`;
const allQuota = "Number of instances across all training jobs";
const tools = join(import.meta.dirname, "../build/python-tools/bin");

let cloud: Cloud;
let account: Account;
let home: string;
let trust: Policy;
let rolePolicy: Policy;
let goodRole: string;
let goodUser: Readonly<Record<string, string>>;
let people = 0;

beforeAll(async () => {
  cloud = await startCloud();
  home = await mkdtemp(join(tmpdir(), "moxi-accounts-"));
  account = openAccount(cloud, bucket);
  await account.bucket(bucket);
  trust = await account.policy("sagemaker-execution-trust");
  rolePolicy = rehearsed(await account.policy("sagemaker-execution"));
  goodRole = await account.role("trainer", trust, rolePolicy);
  goodUser = await account.user(
    "lee",
    rehearsed(await account.policy("submitter-sagemaker", goodRole)),
  );
  await quota(typeQuota, 1);
  await quota(allQuota, 4);
});
afterAll(async () => {
  account.close();
  await cloud.stop();
  await rm(home, { recursive: true, force: true });
});

const quota = (name: string, value: number) => cloud.order("quota", { name, value });

async function check(changes: Partial<Wanted> = {}, env = goodUser): Promise<readonly Check[]> {
  const aws = await openAws({ env, home, host: silentHost });
  try {
    const wanted: Wanted = {
      region: "us-east-1",
      bucket,
      roleArn: goodRole,
      instance,
      spot: false,
      image: rehearsalImage,
      maxSeconds: 3600,
      job: "moxi-20261123-141207-calm-otter-7f3k-a1",
      ...changes,
    };
    const price = await readPrice(aws, [wanted.instance], new Date());
    return judgeAccount(await lookAtAccount(aws, wanted), wanted, price);
  } finally {
    aws.close();
  }
}

const failed = (checks: readonly Check[]) => checks.filter(({ result }) => result === "failed");
const exitCode = ({ code }: Check) => errorKinds[code as ErrorCode].exitCode;

/** Types the command that a check prints, as the account's owner would. */
async function type(command: string): Promise<void> {
  const region = { AWS_DEFAULT_REGION: cloud.env["AWS_REGION"]! };
  const env = {
    ...cloud.env,
    ...region,
    HOME: home,
    PATH: [tools, process.env["PATH"]].join(delimiter),
  };
  await promisify(execFile)("sh", ["-c", command], { env });
}

/** Another user with the good one's rights, changed. */
async function person(
  change: (policy: Policy) => Policy,
): Promise<Readonly<Record<string, string>>> {
  people += 1;
  const policy = rehearsed(await account.policy("submitter-sagemaker", goodRole));
  return account.user(`person-${people}`, change(policy));
}

const without = (sid: string) => (policy: Policy) => ({
  ...policy,
  Statement: policy.Statement.filter((statement) => statement["Sid"] !== sid),
});

test("an account that is set up as the guide says passes every check", async () => {
  const kmsKey = "arn:aws:kms:us-east-1:123456789012:key/0";
  expect(failed(await check({ secrets: { kmsKey } }))).toEqual([]);
  const checks = await check();
  expect(checks.filter(({ result }) => result !== "ok")).toEqual([]);
  const names =
    "credentials, role, bucket, your permissions, role permissions, image, quota, price";
  expect(checks.map(({ name }) => name).join(", ")).toBe(names);
});

describe("mended by the printed command", () => {
  /** Types what the failed check prints; returns what that check says then. */
  async function mend(changes: Partial<Wanted>, name: string, code: number, env = goodUser) {
    const look = async () => failed(await check(changes, env)).filter((one) => one.name === name);
    const [found] = await look();
    expect(exitCode(found!)).toBe(code);
    await type(found!.command!);
    return look();
  }

  // The root's keys, where the good user's policy names another resource.
  test("no bucket", async () => {
    expect(await mend({ bucket: "team-data-2" }, "bucket", 2, cloud.env)).toEqual([]);
  });

  test("no role", async () => {
    const roleArn = goodRole.replace("trainer", "trainee");
    expect(await mend({ roleArn }, "role", 4, cloud.env)).toEqual([]);
  });

  test("a role that trusts somebody else keeps trusting them", async () => {
    const lambda = JSON.parse(JSON.stringify(trust).replaceAll("sagemaker", "lambda")) as Policy;
    const roleArn = await account.role("lambda-only", lambda, rolePolicy);
    expect(await mend({ roleArn }, "role", 4, cloud.env)).toEqual([]);
    const aws = await openAws({ env: cloud.env, home, host: silentHost });
    const role = await (await aws.iam()).role("lambda-only");
    expect(JSON.stringify(role!.trust)).toContain("lambda.amazonaws.com");
    aws.close();
  });

  test("a role that may not write checkpoints", async () => {
    const roleArn = await account.role("reader", trust, without("WriteOutputs")(rolePolicy));
    expect(await mend({ roleArn }, "role permissions", 4, cloud.env)).toEqual([]);
  });

  test("a role that may not fetch the image", async () => {
    const roleArn = await account.role("blind", trust, without("EcrPullDlc")(rolePolicy));
    expect(await mend({ roleArn }, "role permissions", 4, cloud.env)).toEqual([]);
  });

  const secrets = {
    kmsKey: "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555",
  };

  test("a role that may not read the token, of which only a run with one is told", async () => {
    const lacking = without("HfToken")(without("HfTokenKey")(rolePolicy));
    const roleArn = await account.role("tokenless", trust, lacking);
    expect(failed(await check({ roleArn }, cloud.env))).toEqual([]);
    const [first] = failed(await check({ roleArn, secrets: { kmsKey: null } }, cloud.env));
    expect(first!.message).toBe("the role may not ssm:GetParameter (to read the token)");
    const [both] = failed(await check({ roleArn, secrets }, cloud.env));
    expect(both!.message).toContain("kms:Decrypt (to decrypt the token)");
    expect(await mend({ roleArn, secrets }, "role permissions", 4, cloud.env)).toEqual([]);
  });

  test("a user who may not store the token", async () => {
    const env = await person((policy) => without("HfTokenStore")(without("HfTokenKey")(policy)));
    expect(failed(await check({}, env))).toEqual([]);
    const [first] = failed(await check({ secrets }, env));
    expect(first!.message).toContain("ssm:PutParameter, ssm:AddTagsToResource");
    expect(first!.message).toContain("kms:Encrypt");
    expect(await mend({ secrets }, "your permissions", 4, env)).toEqual([]);
  });

  test.each([
    ["PassExecutionRoleToSageMakerOnly", "iam:PassRole"],
    ["TrainingJobs", "sagemaker:CreateTrainingJob"],
    ["BucketObjects", "s3:PutObject"],
    ["TailLogs", "logs:GetLogEvents"],
  ])("a user without %s", async (sid, action) => {
    const env = await person(without(sid));
    const [first] = failed(await check({}, env));
    expect(first!.message).toContain(action);
    expect(await mend({}, "your permissions", 4, env)).toEqual([]);
  });

  test("a type with quota 0 gets a request, which AWS decides on", async () => {
    const other = { instance: "ml.g5.xlarge" };
    const [first] = failed(await check(other));
    expect(first).toMatchObject({ name: "quota", code: "E_AWS_QUOTA" });
    expect(exitCode(first!)).toBe(5);
    await type(first!.command!);
    await expect(type(first!.command!)).rejects.toThrow(/Only one open service quota increase/);
    await quota("ml.g5.xlarge for training job usage", 1);
    expect(failed(await check(other))).toEqual([]);
  });

  test("longer than the account allows", async () => {
    const [first] = failed(await check({ maxSeconds: 500_000 }));
    expect(first).toMatchObject({ name: "quota", hint: "--max-hours 120" });
    expect(failed(await check({ maxSeconds: 120 * 3600 }))).toEqual([]);
  });
});

describe("mended by a person", () => {
  test("an expired session ends every other question", async () => {
    const env = await person((policy) => policy);
    await cloud.order("expire", { key: env["AWS_ACCESS_KEY_ID"]! });
    const checks = await check({}, env);
    expect(checks).toHaveLength(1);
    expect(checks[0]).toMatchObject({ name: "credentials", code: "E_AWS_EXPIRED" });
    expect(checks[0]!.hint).toMatch(/sign in again|new keys/);
  });

  test("a key that AWS does not know, and a secret that is not its own", async () => {
    const unknown = { ...goodUser, AWS_ACCESS_KEY_ID: "AKIANOBODY0000000000" };
    const wrong = { ...goodUser, AWS_SECRET_ACCESS_KEY: "wrong" };
    const said = [await check({}, unknown), await check({}, wrong)].flat();
    expect(said.map(({ code }) => code)).toEqual(["E_AWS_CREDENTIALS", "E_AWS_CREDENTIALS"]);
    expect(said.map(exitCode)).toEqual([4, 4]);
  });

  test("a role of another account", async () => {
    const foreign = failed(await check({ roleArn: "arn:aws:iam::999999999999:role/trainer" }));
    expect(foreign).toMatchObject([{ name: "role", code: "E_AWS_ROLE" }]);
  });

  test("an image that is not there, or is in another region", async () => {
    const gone = failed(await check({ image: rehearsalImage.replace(":1", ":2") }));
    expect(gone).toMatchObject([{ name: "image", code: "E_AWS_NOT_FOUND" }]);
    expect(gone[0]!.hint).toContain("https://");
    const far = failed(await check({ image: rehearsalImage.replace("us-east-1", "eu-west-1") }));
    expect(far).toContainEqual(
      expect.objectContaining({ name: "image", code: "E_CONFIG_INVALID" }),
    );
  });

  test("a type that has no price", async () => {
    const wrong = failed(await check({ instance: "ml.g5.3xlarge" }));
    expect(wrong).toMatchObject([{ name: "price", code: "E_BUDGET" }]);
    expect(exitCode(wrong[0]!)).toBe(6);
  });
});

describe("unknown is a warning, never ok", () => {
  test.each([
    ["PreflightRoleChecks", ["role", "your permissions", "role permissions"]],
    ["PreflightReadOnly", ["quota", "price"]],
    ["ListJobs", ["quota"]],
    ["ImageExists", ["image"]],
  ])("a user without %s", async (sid, names) => {
    const checks = await check({}, await person(without(sid)));
    expect(checks.filter(({ result }) => result === "warning").map(({ name }) => name)).toEqual(
      names,
    );
    expect(failed(checks)).toEqual([]);
    const silent = checks.filter((each) => each.result === "warning" && each.hint === undefined);
    expect(silent).toEqual([]);
  });

  test("the root's keys", async () => {
    const [first] = await check({}, cloud.env);
    expect(first).toMatchObject({ name: "credentials", result: "warning" });
  });
});

test("the price is the limit at today's price, or at that of the catalog with its date", async () => {
  const price = (checks: readonly Check[]) => checks.find(({ name }) => name === "price")!.message;
  expect(price(await check({ maxSeconds: 7200 }))).toBe(
    "at most $3.03: ml.g5.2xlarge costs $1.515 an hour in us-east-1",
  );
  const blind = await check({ maxSeconds: 7200 }, await person(without("PreflightReadOnly")));
  expect(price(blind)).toMatch(/^at most \$3\.03 by the prices of 2026-08 in us-east-1/);
});

test("none of the checks has written anything", async () => {
  await cloud.order("trace");
  await check();
  const trace = (await cloud.order("trace")) as { operation: string }[];
  expect(trace.length).toBeGreaterThan(8);
  for (const { operation } of trace)
    expect(operation).toMatch(/^(Get|List|Describe|Simulate|Head)/);
});
