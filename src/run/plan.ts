import { hashJson } from "../base/hash.ts";
import type { Recipe } from "./recipe.ts";

export type TargetName = "local" | "sagemaker" | "ec2";

export const targetNames: readonly TargetName[] = ["local", "sagemaker", "ec2"];

/** An experiment tracker that a run may tell its metrics to. */
export type Tracker = "tensorboard" | "wandb" | "mlflow" | "comet" | "trackio";

export const trackers: readonly Tracker[] = ["tensorboard", "wandb", "mlflow", "comet", "trackio"];

/** One place that a target offers to train on. */
export interface Machine {
  /** "this machine", or an instance type. */
  readonly name: string;
  readonly accelerator: "cpu" | "cuda" | "mps";
  readonly accelerators: number;
}

/** What a cloud is asked for beside the machine: frozen with the plan, so that another attempt asks for the same. */
export interface CloudSettings {
  readonly region: string;
  readonly bucket: string;
  /** The role that the job runs as. */
  readonly roleArn: string;
  /** The container image, by its digest where the registry told one. */
  readonly image: string;
  /** Its tag: what names the packages that are laid over it (trainer/locks/<tag>.json). */
  readonly imageTag: string;
  /** A machine that may be taken away at any time, for less. */
  readonly spot: boolean;
  /** Machines to take instead where there is none of the plan's, in this order. */
  readonly fallbacks: readonly string[];
  /** Seconds that waiting for a spot machine and training may take together. */
  readonly maxWaitSeconds: number | null;
  /** Of machines without disks of their own. */
  readonly volumeGigabytes: number;
  /** Seconds that the machine is kept, and paid, for the next job. */
  readonly warmPoolSeconds: number | null;
  /** How often the service tries again after an error of its own. */
  readonly retries: number | null;
  readonly subnets: readonly string[];
  readonly securityGroups: readonly string[];
  /** Encrypts what is sent, the disk and what the job leaves. */
  readonly kmsKey: string | null;
  /** The job reaches nothing but its channels. */
  readonly networkIsolation: boolean;
  /** The base model of the hub is copied into the bucket once, and read from there. */
  readonly mirrorModel: boolean;
}

/** A derived value with its reason, shown once to the user. */
export interface Decision {
  readonly name: string;
  readonly value: string | number | boolean;
  readonly reason: string;
}

/** Recipe, machine, derived settings and limits: frozen before anything starts. */
export interface Plan {
  readonly formatVersion: 1;
  readonly recipe: Recipe;
  readonly recipeHash: string;
  readonly target: TargetName;
  readonly machine: Machine;
  /** `null` on this machine. */
  readonly cloud: CloudSettings | null;
  /** `null` means that the trainer decides on the machine, by its printed rule. */
  readonly settings: {
    /** Sequences per forward pass on one device. */
    readonly microBatch: number | null;
    readonly gradientCheckpointing: boolean | null;
    readonly evalEverySteps: number | null;
    readonly saveEverySteps: number | null;
    readonly sampleEverySteps: number | null;
    /** New tokens a sample generation may have. */
    readonly generationTokens: number;
  };
  /** Prompts generated from before, during and after training. Empty: the first held-out rows. */
  readonly prompts: readonly string[];
  /** Where metrics also go. */
  readonly trackers: readonly Tracker[];
  readonly limits: {
    /** Seconds an attempt may take, saving included. */
    readonly maxSeconds: number | null;
  };
  /** Why each value is what it is, for people; not part of the hash. */
  readonly decisions: readonly Decision[];
  /** Over everything above except `decisions`. */
  readonly planHash: string;
}

export type UnhashedPlan = Omit<Plan, "recipeHash" | "planHash">;

/** Freezes a plan: computes both hashes. */
export function freezePlan(plan: UnhashedPlan): Plan {
  const { decisions, ...rest } = plan;
  const hashed = { ...rest, recipeHash: hashJson(plan.recipe) };
  return { ...hashed, decisions, planHash: hashJson(hashed) };
}

/**
 * Tells whether two plans were asked for as the same: SHA-256 of a plan without what AWS has answered.
 * An answer may fail, or be another the next day, and the same command must not start a second run
 * for it. Such are the digest that the image's tag has, unless the digest itself was asked for, and
 * the time that a limit in dollars pays for.
 */
export function intentOf(plan: Plan): string {
  const { decisions, planHash: _, recipeHash, recipe: __, cloud, limits, ...rest } = plan;
  const asked = (name: string) => decisions.find((each) => each.name === name)?.value ?? null;
  const [maxUsd, maxHours, image] = [asked("maxUsd"), asked("maxHours"), asked("sagemaker.image")];
  return hashJson({
    ...rest,
    recipeHash,
    limits: maxUsd === null ? limits : { maxUsd, maxHours },
    cloud: cloud && {
      ...cloud,
      image: image === "pinned" ? cloud.image : cloud.image.replace(/(?:@sha256)?:[^:/]+$/, ""),
    },
  });
}
