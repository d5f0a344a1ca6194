import { describe, expect, test } from "vitest";
import { isMoxiError } from "../../base/errors.ts";
import { freezePlan } from "../../run/plan.ts";
import type { CloudSettings, Plan } from "../../run/plan.ts";
import { plan as basePlan } from "../../../test/fixtures/story.ts";
import { checkPlan, encryptsDisk } from "./constraints.ts";

const key = "1234abcd-12ab-34cd-56ef-1234567890ab";
const cloud: CloudSettings = {
  region: "eu-west-1",
  bucket: "team-data",
  roleArn: "arn:aws:iam::123456789012:role/moxi-execution",
  image: "763104351884.dkr.ecr.eu-west-1.amazonaws.com/huggingface-pytorch-training:2.9.0-cu130",
  imageTag: "2.9.0-cu130",
  spot: false,
  fallbacks: [],
  maxWaitSeconds: null,
  volumeGigabytes: 100,
  warmPoolSeconds: null,
  retries: 2,
  subnets: [],
  securityGroups: [],
  kmsKey: null,
  networkIsolation: false,
  mirrorModel: false,
};

interface Changes {
  readonly cloud?: Partial<CloudSettings>;
  readonly machine?: string;
  readonly maxSeconds?: number;
  readonly model?: string;
  readonly trackers?: Plan["trackers"];
}

function planWith(changes: Changes): Plan {
  const { machine: name = "ml.g5.2xlarge", maxSeconds = 3600, trackers = [] } = changes;
  const {
    planHash: _,
    recipeHash: __,
    ...base
  } = basePlan({ model: changes.model ?? "moxi:tiny" });
  return freezePlan({
    ...base,
    target: "sagemaker",
    machine: { name, accelerator: "cuda", accelerators: 1 },
    cloud: { ...cloud, ...changes.cloud },
    trackers,
    limits: { maxSeconds },
  });
}

/** "<field>: <message>" of the refusal; undefined where the plan passes. */
function refusal(changes: Changes): string | undefined {
  try {
    checkPlan(planWith(changes));
    return undefined;
  } catch (error) {
    const told = isMoxiError(error) && error.code === "E_CONFIG_INVALID" && error.hint !== "";
    if (!told) throw error;
    return `${error.place!.field}: ${error.message}`;
  }
}

const spot = { spot: true, maxWaitSeconds: 7200 };
const vpc = { subnets: ["subnet-0a"], securityGroups: ["sg-0a"] };

describe("what SageMaker takes passes", () => {
  const right: Record<string, Changes> = {
    "the defaults": {},
    spot: { cloud: spot },
    "spot, with others to ask for": { cloud: { ...spot, fallbacks: ["ml.g6.2xlarge"] } },
    "four others": {
      cloud: { fallbacks: ["ml.g5.xlarge", "ml.g6.xlarge", "ml.g6.2xlarge", "ml.g4dn.xlarge"] },
    },
    "28 days": { maxSeconds: 28 * 86_400 },
    "a VPC": { cloud: vpc },
    "a key's id": { cloud: { kmsKey: key }, machine: "ml.c5.xlarge" },
    "a key of several regions": { cloud: { kmsKey: `mrk-${"0".repeat(32)}` } },
    "an alias, for what is left in S3 alone": { cloud: { kmsKey: "alias/team/models" } },
    "no network, and the model in the bucket": {
      cloud: { networkIsolation: true, mirrorModel: true },
      model: "org/name",
    },
    "no network, and the toy": { cloud: { networkIsolation: true } },
    "no network, and a tracker that writes files": {
      cloud: { networkIsolation: true },
      trackers: ["tensorboard"],
    },
    "an old GPU on an old image": { machine: "ml.p3.2xlarge", cloud: { imageTag: "2.5.1-cu124" } },
    "a machine that is newer than this list": { machine: "ml.g9x.2xlarge" },
    China: {
      cloud: { region: "cn-north-1", roleArn: "arn:aws-cn:iam::123456789012:role/moxi" },
    },
  };
  test.for(Object.entries(right))("%s", ([, changes]) => {
    expect(refusal(changes)).toBeUndefined();
  });
});

describe("what SageMaker would refuse is refused, by the setting's name", () => {
  const wrong: readonly (readonly [Changes, string])[] = [
    [{ cloud: { bucket: "s3://data" } }, 'AWS_S3_BUCKET: "s3://data" is no bucket\'s name'],
    [{ cloud: { bucket: "10.0.0.1" } }, 'AWS_S3_BUCKET: "10.0.0.1" is no bucket\'s name'],
    [{ cloud: { bucket: "b".repeat(64) } }, "AWS_S3_BUCKET: "],
    [{ cloud: { roleArn: "moxi-execution" } }, 'AWS_ARN_ROLE: "moxi-execution" is no role\'s ARN'],
    [{ cloud: { roleArn: "arn:aws:iam::123456789012:instance-profile/x" } }, "AWS_ARN_ROLE: "],
    [{ cloud: { region: "cn-north-1" } }, "AWS_ARN_ROLE: a role of aws cannot train in cn-north-1"],
    [{ cloud: { image: "pytorch/pytorch:latest" } }, "sagemaker.image: "],
    [{ cloud: { image: `${cloud.image}${"a".repeat(200)}` } }, "sagemaker.image: "],
    [{ machine: "g5.2xlarge" }, 'instance: "g5.2xlarge" is no instance type of SageMaker\'s'],
    [
      { machine: "ml.trn1.2xlarge" },
      "instance: Moxi cannot train on ml.trn1.2xlarge: it has no NVIDIA GPU",
    ],
    [{ machine: "ml.inf2.xlarge" }, "instance: "],
    [
      { machine: "ml.c7g.xlarge" },
      "instance: Moxi cannot train on ml.c7g.xlarge: the image is not for ARM",
    ],
    [{ machine: "ml.p6e-gb200.36xlarge" }, "instance: "],
    [
      { machine: "ml.p3.2xlarge" },
      "instance: Moxi cannot train on ml.p3.2xlarge: its GPUs are too old for the image's CUDA",
    ],
    [{ cloud: { fallbacks: ["ml.trn1.2xlarge"] } }, "fallbacks: Moxi cannot train on"],
    [{ cloud: { fallbacks: ["ml.g5.2xlarge"] } }, "fallbacks: fallbacks names a type twice"],
    [
      { cloud: { fallbacks: ["ml.g6.xlarge", "ml.g6.xlarge"] } },
      "fallbacks: fallbacks names a type twice",
    ],
    [
      { cloud: { fallbacks: ["a", "b", "c", "d", "e"].map((size) => `ml.g6.${size}xlarge`) } },
      "fallbacks: fallbacks names 5 types, and AWS takes 4 beside the first",
    ],
    [
      { cloud: { fallbacks: ["ml.g5.12xlarge"] } },
      "fallbacks: ml.g5.12xlarge has 4 GPUs, and ml.g5.2xlarge 1",
    ],
    [{ cloud: { ...spot, warmPoolSeconds: 60 } }, "sagemaker.warmPoolMinutes: a spot machine"],
    [{ cloud: { warmPoolSeconds: 21_660 } }, "sagemaker.warmPoolMinutes: "],
    [{ cloud: { retries: 31 } }, "sagemaker.retries: "],
    [{ cloud: { volumeGigabytes: 20_000 } }, "sagemaker.volumeGb: "],
    [
      { cloud: { subnets: vpc.subnets } },
      "sagemaker.securityGroups: a job runs in a VPC by subnets",
    ],
    [{ cloud: { securityGroups: vpc.securityGroups } }, "sagemaker.subnets: "],
    [
      { cloud: { subnets: ["sg-0a"], securityGroups: ["sg-0a"] } },
      'sagemaker.subnets: "sg-0a" does not belong into sagemaker.subnets',
    ],
    [
      { cloud: { ...vpc, securityGroups: Array.from({ length: 6 }, (_, n) => `sg-${n}`) } },
      "sagemaker.securityGroups: sagemaker.securityGroups names 6, and AWS takes 5",
    ],
    [
      { cloud: { ...vpc, subnets: Array.from({ length: 17 }, (_, n) => `subnet-${n}`) } },
      "sagemaker.subnets: ",
    ],
    [{ cloud: { kmsKey: "my key" } }, "sagemaker.kmsKey: sagemaker.kmsKey is no KMS key"],
    [
      { cloud: { kmsKey: `arn:aws:kms:us-east-1:123456789012:key/${key}` } },
      "sagemaker.kmsKey: the key is in us-east-1, and the job runs in eu-west-1",
    ],
    [
      { cloud: { kmsKey: "alias/moxi" }, machine: "ml.c5.xlarge" },
      "sagemaker.kmsKey: the disk of ml.c5.xlarge takes a key by its id or ARN, not by an alias",
    ],
    [{ maxSeconds: 28 * 86_400 + 1 }, "maxHours: a training job runs for 28 days at most"],
    [{ cloud: spot, maxSeconds: 7201 }, "sagemaker.maxWaitHours: waiting and training together"],
    [
      { cloud: { networkIsolation: true }, model: "org/name" },
      "sagemaker.mirrorModel: a job that is cut off",
    ],
    [
      { cloud: { networkIsolation: true }, trackers: ["wandb"] },
      "trackers: a job that is cut off from the network cannot send to wandb",
    ],
  ];
  test.for(wrong)("%j", ([changes, words]) => {
    expect(refusal(changes)).toContain(words);
  });
});

test("a key for the disk is for machines without disks of their own", () => {
  const ours = [
    "ml.g5.xlarge",
    "ml.g6e.2xlarge",
    "ml.gr6.4xlarge",
    "ml.p5en.48xlarge",
    "ml.r5d.xlarge",
  ];
  for (const type of ours) expect(encryptsDisk([type]), type).toBe(false);
  for (const type of ["ml.c5.xlarge", "ml.m7i-flex.large", "ml.p3.2xlarge", "ml.r5.large"]) {
    expect(encryptsDisk([type]), type).toBe(true);
  }
  expect(encryptsDisk(["ml.c5.xlarge", "ml.g5.xlarge"])).toBe(false);
});
