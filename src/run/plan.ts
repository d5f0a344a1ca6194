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
