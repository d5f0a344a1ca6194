// Quotas of an account with thousands of them: listed once, then asked for one by one.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { openAws } from "../src/aws/aws.ts";
import { silentHost } from "../src/base/host.ts";
import { setUpAccount } from "./cloud/account.ts";
import type { Account } from "./cloud/account.ts";
import { idleImage, startCloud } from "./cloud/start.ts";
import type { Cloud } from "./cloud/start.ts";

const usage = (type: string) => `${type} for training job usage`;
const names = [usage("ml.g5.xlarge"), usage("ml.g6.xlarge")] as const;

let cloud: Cloud;
let account: Account;
let env: Readonly<Record<string, string>>;
const home = mkdtempSync(join(tmpdir(), "moxi-quotas-"));
const codesFile = join(home, ".cache/moxi/quota-codes.json");

beforeAll(async () => {
  cloud = await startCloud(await idleImage(home));
  ({ account, env } = await setUpAccount(cloud));
  for (let index = 0; index < 250; index++) {
    await cloud.order("quota", { name: usage(`ml.other${index}.xlarge`), value: 1 });
  }
  await cloud.order("quota", { name: names[1], value: 2, applied: false });
});
afterAll(async () => {
  account.close();
  await cloud.stop();
  rmSync(home, { recursive: true });
});
beforeEach(async () => {
  rmSync(codesFile, { force: true });
  await cloud.order("quota", { name: names[0], value: 3 });
  await cloud.order("trace");
});

async function find(wanted: readonly string[] = names) {
  const aws = await openAws({ env, home, host: silentHost });
  try {
    const found = await (await aws.quotas()).find("sagemaker", wanted);
    const trace = (await cloud.order("trace")) as { operation: string }[];
    const values = wanted.map((name) => found.get(name)?.value);
    return { values, asked: trace.map(({ operation }) => operation).sort() };
  } finally {
    aws.close();
  }
}

test("a quota is listed until its code is known, then asked for", async () => {
  const first = await find();
  expect(first.values).toEqual([3, 2]);
  expect(new Set(first.asked)).toEqual(
    new Set(["ListServiceQuotas", "ListAWSDefaultServiceQuotas"]),
  );
  await cloud.order("quota", { name: names[0], value: 5 });
  // What nobody ever changed has AWS's default.
  expect(await find()).toEqual({
    values: [5, 2],
    asked: ["GetAWSDefaultServiceQuota", "GetServiceQuota", "GetServiceQuota"],
  });
});

test("a code that means something else, or nothing, is not believed", async () => {
  await find();
  const codes = JSON.parse(readFileSync(codesFile, "utf8")) as Record<string, string>;
  const [one, other] = names.map((name) => `sagemaker ${name}`) as [string, string];
  writeFileSync(codesFile, JSON.stringify({ [one]: codes[other], [other]: "L-00000000" }));
  await cloud.order("trace");
  const { values, asked } = await find();
  expect(values).toEqual([3, 2]);
  expect(asked).toContain("ListServiceQuotas");
  expect(JSON.parse(readFileSync(codesFile, "utf8"))).toEqual(codes);
});

test.each(["{", "[1]", '{"sagemaker x": 1}'])("a memory that holds %s is none", async (text) => {
  mkdirSync(dirname(codesFile), { recursive: true });
  writeFileSync(codesFile, text);
  expect((await find()).values).toEqual([3, 2]);
});

test("where one quota may not be asked for, the list tells", async () => {
  await find();
  await cloud.order("fault", { operation: "GetServiceQuota", kind: "denied", times: 2 });
  const { values, asked } = await find();
  expect(values).toEqual([3, 2]);
  expect(asked).toContain("ListServiceQuotas");
});
