import { catalogEntry } from "../../account/catalog.ts";
import { imageParts } from "../../account/wanted.ts";
import { MoxiError } from "../../base/errors.ts";
import { printable } from "../../base/format.ts";
import type { CloudSettings, Plan } from "../../run/plan.ts";
import { isHubModel } from "./base-model.ts";
import { cloudOf } from "./limits.ts";

/** One rule: the setting that it is about, what is wrong, and what to do; nothing where it is kept. */
type Rule = (cloud: CloudSettings, machine: string) => Broken | false;

interface Broken {
  readonly field: string;
  readonly message: string;
  readonly hint: string;
}

/**
 * What SageMaker asks of a training job's settings. The SDK checks none of it, and the service only
 * after everything has been sent. Sources are pages of docs.aws.amazon.com and AWS's own model of
 * the service (botocore, sagemaker/2017-07-24), where M says so; K: common knowledge.
 */
const rules: readonly Rule[] = [
  // AmazonS3/latest/userguide/bucketnamingrules.html
  ({ bucket }) =>
    !/^(?!xn--|sthree-|.*\.\.|\d+\.\d+\.\d+\.\d+$)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(
      bucket,
    ) && {
      field: "AWS_S3_BUCKET",
      message: `${shown(bucket)} is no bucket's name`,
      hint: "give the name alone: no s3://, no folder, 3 to 63 lower-case letters, digits and dashes",
    },
  // M: RoleArn, 20 to 2048
  ({ roleArn }) =>
    (roleArn.length > 2048 ||
      !/^arn:aws[a-z-]*:iam::\d{12}:role\/[a-zA-Z_0-9+=,.@\-_/]+$/.test(roleArn)) && {
      field: "AWS_ARN_ROLE",
      message: `${shown(roleArn)} is no role's ARN`,
      hint: "aws iam get-role --role-name <name> --query Role.Arn --output text prints it",
    },
  // IAM/latest/UserGuide/reference-arns.html
  ({ roleArn, region }) =>
    roleArn.split(":")[1] !== partitionOf(region) && {
      field: "AWS_ARN_ROLE",
      message: `a role of ${roleArn.split(":")[1]} cannot train in ${region}`,
      hint: `use a role whose ARN begins with arn:${partitionOf(region)}:, or another AWS_REGION`,
    },
  // M: AlgorithmImage, 255; sagemaker/latest/APIReference/API_AlgorithmSpecification.html
  ({ image }) =>
    (image.length > 255 || imageParts(image) === undefined) && {
      field: "sagemaker.image",
      message: "sagemaker.image must be the address of an image in ECR, of at most 255 characters",
      hint: "<account>.dkr.ecr.<region>.amazonaws.com/<repository>:<tag>, or @sha256:… for the tag",
    },
  (cloud, machine) => wrongType(machine, "instance", cloud),
  (cloud) => {
    for (const type of cloud.fallbacks) {
      const wrong = wrongType(type, "fallbacks", cloud);
      if (wrong !== false) return wrong;
    }
    return false;
  },
  // M: InstancePreferenceList, 1 to 5. On spot we ask ourselves, and no longer.
  ({ fallbacks }) =>
    fallbacks.length > 4 && {
      field: "fallbacks",
      message: `fallbacks names ${fallbacks.length} types, and AWS takes 4 beside the first`,
      hint: "leave out the last ones",
    },
  // sagemaker/latest/APIReference/API_InstancePreference.html: a type appears once
  ({ fallbacks }, machine) =>
    new Set([machine, ...fallbacks]).size <= fallbacks.length && {
      field: "fallbacks",
      message: "fallbacks names a type twice, or the instance itself",
      hint: "leave it out once",
    },
  // Ours: a plan starts one process a GPU.
  ({ fallbacks }, machine) => {
    const gpus = (type: string) => catalogEntry(type)?.accelerators;
    const count = gpus(machine);
    const other = fallbacks.find((type) => gpus(type) !== undefined && gpus(type) !== count);
    if (count === undefined || other === undefined) return false;
    return {
      field: "fallbacks",
      message: `${other} has ${gpus(other)} GPUs, and ${machine} ${count}: a run is planned for one number`,
      hint: "name types with as many GPUs",
    };
  },
  // sagemaker/latest/dg/train-warm-pools.html: not with managed spot training (K: refused)
  ({ spot, warmPoolSeconds }) =>
    spot &&
    warmPoolSeconds !== null && {
      field: "sagemaker.warmPoolMinutes",
      message: "a spot machine cannot be kept for the next run",
      hint: "leave out spot, or sagemaker.warmPoolMinutes",
    },
  // M: KeepAlivePeriodInSeconds, 0 to 21600
  ({ warmPoolSeconds }) =>
    outside(warmPoolSeconds, 1, 21_600) && {
      field: "sagemaker.warmPoolMinutes",
      message: "a machine can be kept for 1 to 360 minutes",
      hint: "choose fewer; an account's own quota is 60 at first",
    },
  // M: MaximumRetryAttempts, 1 to 30
  ({ retries }) =>
    outside(retries, 1, 30) && {
      field: "sagemaker.retries",
      message: "sagemaker.retries must be 1 to 30",
      hint: "leave it out for 2",
    },
  // M: OptionalVolumeSizeInGB; ebs/latest/userguide/general-purpose.html: at most 16 TiB
  ({ volumeGigabytes }) =>
    outside(volumeGigabytes, 1, 16_384) && {
      field: "sagemaker.volumeGb",
      message: "a disk has 1 to 16,384 GB",
      hint: "an account's own quota is 1,024 at first",
    },
  // M: VpcConfig requires both; Subnets, 1 to 16; VpcSecurityGroupIds, 1 to 5; each 32 characters
  ({ subnets, securityGroups }) =>
    subnets.length > 0 !== securityGroups.length > 0 && {
      field: subnets.length > 0 ? "sagemaker.securityGroups" : "sagemaker.subnets",
      message: "a job runs in a VPC by subnets and security groups, and one of the two is missing",
      hint: "give both, or neither",
    },
  ({ subnets }) => wrongIds("sagemaker.subnets", "subnet", subnets, 16),
  ({ securityGroups }) => wrongIds("sagemaker.securityGroups", "sg", securityGroups, 5),
  // sagemaker/latest/APIReference/API_OutputDataConfig.html: four forms; M: KmsKeyId, 2048
  ({ kmsKey }) =>
    kmsKey !== null &&
    (kmsKey.length > 2048 || !keyForm.test(kmsKey)) && {
      field: "sagemaker.kmsKey",
      message: "sagemaker.kmsKey is no KMS key",
      hint: "give its id, its ARN, alias/<name>, or the alias's ARN",
    },
  ({ kmsKey, region }) => {
    const found = /^arn:[^:]+:kms:([^:]+):/.exec(kmsKey ?? "")?.[1] ?? region;
    if (found === region) return false;
    return {
      field: "sagemaker.kmsKey",
      message: `the key is in ${found}, and the job runs in ${region}`,
      hint: "use a key of that region",
    };
  },
  // sagemaker/latest/APIReference/API_ResourceConfig.html: VolumeKmsKeyId is an id or a key's ARN
  ({ kmsKey, fallbacks }, machine) =>
    kmsKey?.includes("alias/") === true &&
    encryptsDisk([machine, ...fallbacks]) && {
      field: "sagemaker.kmsKey",
      message: `the disk of ${machine} takes a key by its id or ARN, not by an alias`,
      hint: `aws kms describe-key --key-id ${kmsKey} --query KeyMetadata.Arn --output text prints it`,
    },
];

/**
 * Refuses settings of the place that SageMaker would refuse, before anything is asked or sent.
 *
 * @throws E_CONFIG_INVALID with the setting's name
 */
export function checkCloud(cloud: CloudSettings, machine: string): void {
  for (const rule of rules) {
    const broken = rule(cloud, machine);
    if (broken !== false) refuse(broken);
  }
}

/** M: StoppingCondition: 28 days. */
const longestSeconds = 28 * 86_400;

/**
 * The same of a whole plan, with its limits and its model.
 *
 * @throws E_CONFIG_INVALID with the setting's name
 */
export function checkPlan(plan: Plan): void {
  const cloud = cloudOf({ plan, run: "this run" });
  checkCloud(cloud, plan.machine.name);
  const { maxSeconds } = plan.limits;
  // sagemaker/latest/APIReference/API_StoppingCondition.html
  if (maxSeconds !== null && maxSeconds > longestSeconds) {
    refuse({
      field: "maxHours",
      message: "a training job runs for 28 days at most",
      hint: "set maxHours to 672 or less; an account's own quota is 5 days at first",
    });
  }
  if (cloud.maxWaitSeconds !== null && cloud.maxWaitSeconds < (maxSeconds ?? 0)) {
    refuse({
      field: "sagemaker.maxWaitHours",
      message: "waiting and training together cannot take less than training alone",
      hint: `set sagemaker.maxWaitHours to ${Math.ceil(maxSeconds! / 3600)} or more, or maxHours to less`,
    });
  }
  if (cloud.networkIsolation && !cloud.mirrorModel && isHubModel(plan.recipe.model)) {
    refuse({
      field: "sagemaker.mirrorModel",
      message: "a job that is cut off from the network cannot fetch its model from the hub",
      hint: "leave out sagemaker.mirrorModel: the model is copied into the bucket then",
    });
  }
  const sending = plan.trackers.find((tracker) => tracker !== "tensorboard");
  if (cloud.networkIsolation && sending !== undefined) {
    refuse({
      field: "trackers",
      message: `a job that is cut off from the network cannot send to ${sending}`,
      hint: "leave it out of trackers, or leave out sagemaker.networkIsolation",
    });
  }
}

function refuse({ field, message, hint }: Broken): never {
  throw new MoxiError("E_CONFIG_INVALID", message, { hint, place: { field } });
}

/**
 * Whether the disk of these machines can be encrypted with a key of one's own: local disks are
 * encrypted by their hardware, and a key for them is refused.
 * AWSEC2/latest/UserGuide/InstanceStorage.html
 */
export function encryptsDisk(types: readonly string[]): boolean {
  return !types.some((type) =>
    /^ml\.(?:g4dn|g5|gr?6e?|g7e?|p3dn|p4de?|p5(?:en?)?|p6\S*|trn\w+|[cmr]\d+[a-z]*d[a-z]*)\./.test(
      type,
    ),
  );
}

function wrongType(type: string, field: string, { imageTag }: CloudSettings): Broken | false {
  // M: TrainingInstanceType, whose list grows: a new type must not need a new Moxi.
  if (!/^ml\.[a-z0-9-]+\.[a-z0-9]+$/.test(type)) {
    return {
      field,
      message: `${shown(type)} is no instance type of SageMaker's`,
      hint: "they begin with ml., as in ml.g5.2xlarge",
    };
  }
  const no = (why: string): Broken => ({
    field,
    message: `Moxi cannot train on ${type}: ${why}`,
    hint: "choose a machine with NVIDIA GPUs, such as ml.g5.2xlarge",
  });
  if (/^ml\.(?:trn|inf|dl)\d/.test(type)) return no("it has no NVIDIA GPU");
  if (/^ml\.(?:p6e-gb|[a-z]+\d+g[a-z]*\.)/.test(type)) return no("the image is not for ARM");
  // docs.nvidia.com/cuda/cuda-toolkit-release-notes: CUDA 13 has left out what came before Turing
  if (/^ml\.p[23](?:dn)?\./.test(type) && imageTag.includes("-cu13")) {
    return no("its GPUs are too old for the image's CUDA");
  }
  return false;
}

function wrongIds(
  field: string,
  kind: string,
  ids: readonly string[],
  most: number,
): Broken | false {
  const wrong = ids.find((id) => !new RegExp(`^${kind}-[0-9a-zA-Z-]{1,28}$`).test(id));
  const hint = `each begins with ${kind}-, as the VPC console shows it`;
  if (wrong !== undefined) {
    return { field, message: `${shown(wrong)} does not belong into ${field}`, hint };
  }
  if (ids.length <= most) return false;
  return { field, message: `${field} names ${ids.length}, and AWS takes ${most}`, hint };
}

const keyId = "(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|mrk-[0-9a-f]{32})";
const keyForm = new RegExp(
  `^(?:${keyId}|(?:arn:aws[a-z-]*:kms:[a-z0-9-]+:\\d{12}:)?alias/[a-zA-Z0-9/_-]+|arn:aws[a-z-]*:kms:[a-z0-9-]+:\\d{12}:key/${keyId})$`,
);

function outside(value: number | null, least: number, most: number): boolean {
  return value !== null && !(Number.isInteger(value) && value >= least && value <= most);
}

/** general/latest/gr/rande.html */
function partitionOf(region: string): string {
  const found = /^(?:cn|us-gov|eusc|us-iso[a-z]*|eu-isoe)(?=-)/.exec(region)?.[0] ?? "";
  return ["aws", found].filter((part) => part !== "").join("-");
}

function shown(text: string): string {
  return `"${printable(text).slice(0, 80)}"`;
}
