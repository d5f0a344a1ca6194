// The request for a training job, over many plans: what Moxi lets pass, AWS's model takes.
import { createServer } from "node:http";
import type { Server } from "node:http";
import { mkdtemp, rm } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openAws } from "../../src/aws/aws.ts";
import type { Aws } from "../../src/aws/aws.ts";
import { isMoxiError } from "../../src/base/errors.ts";
import { silentHost } from "../../src/base/host.ts";
import { attemptName } from "../../src/run/attempt.ts";
import { normalRunId } from "../../src/run/id.ts";
import { freezePlan } from "../../src/run/plan.ts";
import type { CloudSettings, Plan } from "../../src/run/plan.ts";
import { checkPlan } from "../../src/targets/sagemaker/constraints.ts";
import { chooseImage, imageTags } from "../../src/targets/sagemaker/images.ts";
import { runFiles } from "../../src/targets/sagemaker/inputs.ts";
import { jobSeconds } from "../../src/targets/sagemaker/limits.ts";
import { trainingJobRequest } from "../../src/targets/sagemaker/request.ts";
import type { RunRef } from "../../src/targets/target.ts";
import { plan as basePlan } from "../fixtures/story.ts";
import { check } from "./check.ts";
import type { Recorded } from "./decode.ts";

let server: Server;
let aws: Aws;
let home: string;
let received: Recorded[] = [];
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "moxi-requests-"));
  server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on("data", (part: Buffer) => parts.push(part));
    request.on("end", () => {
      const body = Buffer.concat(parts);
      received.push({
        method: request.method!,
        target: request.url!,
        secure: true,
        headers: request.headers as Record<string, string>,
        bytes: body.length,
        body: body.toString("base64"),
      });
      response.setHeader("content-type", "application/x-amz-json-1.1");
      response.end("{}");
    });
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const env = {
    AWS_ENDPOINT_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    AWS_REGION: "us-east-1",
    AWS_ACCESS_KEY_ID: "AKIAEXAMPLE",
    AWS_SECRET_ACCESS_KEY: "secret",
  };
  aws = await openAws({ env, home, host: silentHost });
});
afterAll(async () => {
  aws.close();
  server.closeAllConnections();
  server.close();
  await rm(home, { recursive: true });
});

const digits = "0123456789abcdef";
const letters = "abcdefghijklmnopqrstuvwxyz";

/** Numbers that look random and are the same every time. */
function generator(seed: number) {
  let state = seed;
  const random = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  const below = (most: number) => Math.floor(random() * most);
  const pick = <T>(values: readonly T[]): T => values[below(values.length)]!;
  const text = (alphabet: string, length: number) =>
    Array.from({ length }, () => pick(Array.from(alphabet))).join("");
  const some = <T>(most: number, make: () => T) => Array.from({ length: below(most + 1) }, make);
  return { random, below, pick, text, some };
}
type Generator = ReturnType<typeof generator>;

const hostile = [
  "it's",
  'say "no"',
  "--rm -rf",
  "дом",
  "家🏠",
  "a\nb",
  "\\",
  "$(id)",
  "`id`",
  "％",
];

/** What AWS takes, in every field. */
function right(from: Generator): { readonly plan: Plan; readonly ref: RunRef } {
  const { below, pick, text, some, random } = from;
  const region = pick(["us-east-1", "eu-south-1", "cn-north-1", "us-gov-west-1", "ap-southeast-7"]);
  const partition = region.startsWith("cn")
    ? "aws-cn"
    : region.startsWith("us-gov")
      ? "aws-us-gov"
      : "aws";
  const groups = [
    ["ml.g5.2xlarge", "ml.g5.xlarge", "ml.g6.2xlarge", "ml.g6e.xlarge", "ml.g4dn.2xlarge"],
    ["ml.g5.12xlarge", "ml.g6.12xlarge", "ml.g6e.12xlarge"],
    ["ml.m5.xlarge", "ml.c5.2xlarge", "ml.c7i.4xlarge"],
  ];
  const types = pick(groups).toSorted(() => random() - 0.5);
  const machine = { name: types[0]!, accelerator: "cuda", accelerators: 1 } as const;
  const spot = random() < 0.5;
  const vpc = random() < 0.5;
  const key = `${text(digits, 8)}-${text(digits, 4)}-${text(digits, 4)}-${text(digits, 4)}-${text(digits, 12)}`;
  const tag = pick(imageTags);
  const chosen = chooseImage(random() < 0.5 ? tag : `${tag}@sha256:${text(digits, 64)}`, region);
  const cloud: CloudSettings = {
    region,
    bucket: `${pick(Array.from(letters))}${text(`${letters}0123456789-`, below(60))}0z`,
    roleArn: `arn:${partition}:iam::${text("0123456789", 12)}:role/${text("Aa0+=,.@-_/", 1 + below(500))}x`,
    image: chosen.image,
    imageTag: chosen.tag,
    spot,
    fallbacks: types.slice(1, 1 + below(types.length)),
    maxWaitSeconds: spot ? 3_000_000 : null,
    volumeGigabytes: 1 + below(16_384),
    warmPoolSeconds: spot || random() < 0.5 ? null : 60 * (1 + below(360)),
    retries: random() < 0.3 ? null : 1 + below(30),
    subnets: vpc
      ? [`subnet-${text(digits, 17)}`, ...some(15, () => `subnet-${text(digits, 8)}`)]
      : [],
    securityGroups: vpc
      ? [`sg-${text(digits, 17)}`, ...some(4, () => `sg-${text(digits, 8)}`)]
      : [],
    kmsKey: pick([
      null,
      key,
      `mrk-${text(digits, 32)}`,
      `arn:${partition}:kms:${region}:123456789012:key/${key}`,
    ]),
    networkIsolation: random() < 0.3,
    mirrorModel: random() < 0.5,
  };
  const base = basePlan({ model: pick(["moxi:tiny", "moxi:tiny", `./models/${pick(hostile)}`]) });
  const { model } = base.recipe;
  const folder = model.id === "moxi:tiny" ? model : { ...model, fingerprint: "f".repeat(64) };
  return planned(from, {
    ...base,
    recipe: { ...base.recipe, model: folder },
    target: "sagemaker",
    machine,
    cloud,
    prompts: some(4, () => pick(hostile).repeat(1 + below(20_000))),
    limits: { maxSeconds: 60 + below(2_400_000) },
  });
}

/** The same with one field or two that may be wrong. */
function perhapsWrong(from: Generator): { readonly plan: Plan; readonly ref: RunRef } {
  const { below, pick, text, random } = from;
  const { plan } = right(from);
  const odd = () => pick([...hostile, "", " ", "x".repeat(3000), text(`${letters}-_:/.`, 40)]);
  const type = () =>
    pick([
      odd(),
      "g5.xlarge",
      "ml.trn1.2xlarge",
      "ml.p2.xlarge",
      "ml.r5d.xlarge",
      "ml.p6e-gb200.36xlarge",
      "ml.g5.xlarge",
    ]);
  const changes: (() => Partial<CloudSettings>)[] = [
    () => ({ bucket: pick([odd(), "s3://bucket", "Bucket", "a..b", "192.168.0.1"]) }),
    () => ({
      roleArn: pick([odd(), "arn:aws:iam::12:role/x", "arn:aws:iam::123456789012:user/x"]),
    }),
    () => ({ image: pick([odd(), `${plan.cloud!.image}${"a".repeat(300)}`]) }),
    () => ({ fallbacks: Array.from({ length: below(7) }, type) }),
    () => ({ spot: random() < 0.5, maxWaitSeconds: pick([null, 1, 3_000_000]) }),
    () => ({ volumeGigabytes: pick([0, -1, 1.5, 1e9]) }),
    () => ({ warmPoolSeconds: pick([0, -60, 21_601, 1.5, 60]) }),
    () => ({ retries: pick([0, 31, 2.5]) }),
    () => ({ subnets: Array.from({ length: below(20) }, () => pick([odd(), "subnet-0", "sg-0"])) }),
    () => ({
      securityGroups: Array.from({ length: below(8) }, () => pick([odd(), "sg-0", "subnet-0"])),
    }),
    () => ({
      subnets: Array.from({ length: below(20) }, () => "subnet-0"),
      securityGroups: Array.from({ length: below(8) }, () => "sg-0"),
    }),
    () => ({
      kmsKey: pick([
        odd(),
        "alias/moxi",
        "alias/дом",
        "arn:aws:kms:us-east-1:123456789012:alias/a",
      ]),
    }),
  ];
  const cloud = { ...plan.cloud!, ...pick(changes)(), ...(random() < 0.3 ? pick(changes)() : {}) };
  const machine = random() < 0.2 ? { ...plan.machine, name: type() } : plan.machine;
  const limits = random() < 0.2 ? { maxSeconds: pick([2_419_201, 9e9]) } : plan.limits;
  return planned(from, { ...plan, cloud, machine, limits });
}

/** An attempt of a run with the plan, under a name as long as names may be. */
function planned({ below, text, pick, random }: Generator, parts: Plan) {
  const plan = freezePlan(parts);
  const run = normalRunId(
    `${text(letters, 1)}${text(`${letters}0123456789-`, random() < 0.3 ? 48 : below(48))}z`,
  )!;
  const number = pick([1, 2, 10, 999_999]);
  const at = "2026-11-28T14:00:00.000Z";
  const name = attemptName(run, number);
  const machine = pick([undefined, ...(plan.cloud!.spot ? plan.cloud!.fallbacks : [])]);
  const attempt = {
    attempt: number,
    name,
    target: "sagemaker",
    at,
    nonce: "0".repeat(32),
    ...(machine !== undefined && { machine }),
  } as const;
  return { plan, ref: { run, folder: "/", plan, attempt } };
}

const channels = ["moxi", "train", "eval", "model", "adapter", "job"].map((name) => ({
  name,
  prefix: `moxi/${name}/${"0".repeat(64)}/`,
}));

/** Sends the request as it would be sent, and returns what AWS would say against it. */
async function send({
  plan,
  ref,
}: {
  readonly plan: Plan;
  readonly ref: RunRef;
}): Promise<string[]> {
  received = [];
  const { attempt, run } = ref;
  const request = trainingJobRequest({
    name: attempt.name,
    run,
    plan,
    cloud: plan.cloud!,
    instance: attempt.machine ?? plan.machine.name,
    maxSeconds: jobSeconds(ref),
    channels,
    hubUrl: "https://hub.example/models",
  });
  await (await aws.sagemaker()).create(request);
  expect(received).toHaveLength(1);
  // The size of an answer to a question nobody asked: settings are in job.json, whatever their size.
  expect(received[0]!.bytes).toBeLessThan(12_000);
  return check(received[0]!);
}

test("every plan that can be made is accepted, by Moxi and by AWS", async () => {
  const from = generator(20_261_128);
  let longest = 0;
  let largest = 0;
  for (let count = 0; count < 400; count++) {
    const made = right(from);
    checkPlan(made.plan);
    expect(await send(made), JSON.stringify(made.plan.cloud)).toEqual([]);
    longest = Math.max(longest, made.ref.attempt.name.length);
    const [, , job] = runFiles(made.ref, channels, []);
    largest = Math.max(largest, job!.text.length);
    for (const prompt of made.plan.prompts)
      expect(JSON.parse(job!.text).trainer.prompts).toContain(prompt);
  }
  expect(longest).toBe(63);
  expect(largest).toBeGreaterThan(100_000);
});

test("what AWS would refuse is refused before, by the setting's name", async () => {
  const from = generator(7);
  const refused = new Map<string, number>();
  let sent = 0;
  for (let count = 0; count < 3000; count++) {
    const made = perhapsWrong(from);
    try {
      checkPlan(made.plan);
    } catch (error) {
      const told = isMoxiError(error) && error.code === "E_CONFIG_INVALID" && error.hint !== "";
      if (!told) throw error;
      const { field } = error.place!;
      refused.set(field!, (refused.get(field!) ?? 0) + 1);
      continue;
    }
    sent += 1;
    expect(await send(made), JSON.stringify(made.plan.cloud)).toEqual([]);
  }
  expect(sent).toBeGreaterThan(100);
  expect([...refused.keys()].toSorted()).toEqual([
    "AWS_ARN_ROLE",
    "AWS_S3_BUCKET",
    "fallbacks",
    "instance",
    "maxHours",
    "sagemaker.image",
    "sagemaker.kmsKey",
    "sagemaker.maxWaitHours",
    "sagemaker.retries",
    "sagemaker.securityGroups",
    "sagemaker.subnets",
    "sagemaker.volumeGb",
    "sagemaker.warmPoolMinutes",
  ]);
});
