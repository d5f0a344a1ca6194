import { catalogEntry } from "../../account/catalog.ts";
import { imageParts } from "../../account/wanted.ts";
import type { Aws } from "../../aws/aws.ts";
import { MoxiError } from "../../base/errors.ts";
import type { CloudSettings, Machine } from "../../run/plan.ts";
import { checkCloud } from "./constraints.ts";
import { chooseImage } from "./images.ts";

/** What a user says of the place to train at, by the names of the config. */
export interface Wishes {
  /** The base model, as it is written. */
  readonly model?: string | undefined;
  readonly bucket?: string | undefined;
  readonly roleArn?: string | undefined;
  readonly instance?: string | undefined;
  readonly fallbacks?: readonly string[] | undefined;
  readonly spot?: boolean | undefined;
  readonly maxHours?: number | undefined;
  readonly sagemaker?:
    | {
        readonly image?: string;
        readonly volumeGb?: number;
        readonly maxWaitHours?: number;
        readonly warmPoolMinutes?: number;
        readonly retries?: number;
        readonly subnets?: readonly string[];
        readonly securityGroups?: readonly string[];
        readonly kmsKey?: string;
        readonly networkIsolation?: boolean;
        readonly mirrorModel?: boolean;
      }
    | undefined;
}

/** What of AWS is asked. */
type Asked = Pick<Aws, "ecr"> & { readonly settings: Pick<Aws["settings"], "region"> };

export const defaultInstance = "ml.g5.2xlarge";

/** The machine that was wished for. What it has is the catalog's word, or what its name tells. */
export function machineOf({ instance = defaultInstance }: Wishes): Machine {
  const hasGpu = /^ml\.(?:g|p)\d/.test(instance);
  const accelerators = catalogEntry(instance)?.accelerators ?? (hasGpu ? 1 : 0);
  return { name: instance, accelerator: hasGpu ? "cuda" : "cpu", accelerators };
}

/**
 * Settles what the plan keeps of the cloud. An image is pinned to the digest that its tag has now,
 * so that the attempts of a run have the same; where the registry does not tell it, the tag stays.
 *
 * @param model whether the base model's licence has to be accepted: then it is mirrored by default
 * @throws E_AWS_SETTINGS where bucket or role are missing, E_CONFIG_INVALID
 */
export async function placeOf(
  wishes: Wishes,
  aws: Asked,
  model?: { readonly gated: boolean },
): Promise<CloudSettings> {
  const cloud = settlePlace(wishes, aws.settings.region, model);
  return { ...cloud, image: await pinned(cloud.image, aws) };
}

/** The same without asking anybody: the image is named as it was wished for. */
export function settlePlace(
  wishes: Wishes,
  region: string,
  { gated }: { readonly gated: boolean } = { gated: false },
): CloudSettings {
  const { bucket, roleArn, fallbacks = [], spot = false, maxHours = 24 } = wishes;
  const missing = [
    ...(roleArn === undefined ? ["AWS_ARN_ROLE: the role that the training job runs as"] : []),
    ...(bucket === undefined ? ["AWS_S3_BUCKET: where data and models live"] : []),
  ];
  if (bucket === undefined || roleArn === undefined) {
    throw new MoxiError("E_AWS_SETTINGS", `training on SageMaker needs ${missing.join(", and ")}`, {
      hint: "write it into .env; docs/AWS_TRAINING_FLOW_NOW.md shows how to make both",
    });
  }
  const ours = wishes.sagemaker ?? {};
  const { image, tag: imageTag } = chooseImage(ours.image, region);
  const { maxWaitHours = maxHours + 24, networkIsolation = false } = ours;
  const cloud: CloudSettings = {
    region,
    bucket,
    roleArn,
    image,
    imageTag,
    spot,
    fallbacks,
    maxWaitSeconds: spot ? Math.round(maxWaitHours * 3600) : null,
    volumeGigabytes: ours.volumeGb ?? 100,
    warmPoolSeconds: ours.warmPoolMinutes === undefined ? null : ours.warmPoolMinutes * 60,
    retries: ours.retries ?? 2,
    subnets: ours.subnets ?? [],
    securityGroups: ours.securityGroups ?? [],
    kmsKey: ours.kmsKey ?? null,
    networkIsolation,
    mirrorModel: ours.mirrorModel ?? (gated || networkIsolation),
  };
  checkCloud(cloud, wishes.instance ?? defaultInstance);
  return cloud;
}

async function pinned(image: string, aws: Asked): Promise<string> {
  const parts = imageParts(image)!;
  if (parts.version.startsWith("sha256:")) return image;
  // The checks say why it is not told.
  const digest = await aws
    .ecr()
    .then((ecr) => ecr.digest(parts))
    .catch(() => undefined);
  if (digest === undefined) return image;
  return `${image.slice(0, image.lastIndexOf(":"))}@${digest}`;
}
