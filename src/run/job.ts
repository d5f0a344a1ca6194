import type { Plan, Tracker } from "./plan.ts";
import { toyModel } from "./recipe.ts";
import type { Keep, Method, Overlong } from "./recipe.ts";

/** Where a target puts the adapter to start from, below the ML root. */
export const adapterFolder = "input/data/adapter";

/** What the training program reads: flat, and named like its own flags. */
export interface TrainerSettings {
  /** The base model's real id, for the model card; never a container path. */
  readonly model: string;
  readonly revision: string | null;
  /** Where to load the model from when not the hub: absolute, or relative to the ML root. */
  readonly modelPath: string | null;
  /** Where to load the adapter to start from: relative to the ML root. */
  readonly adapterPath: string | null;
  readonly method: Method;
  readonly loraRank: number | null;
  readonly loraAlpha: number | null;
  readonly loraDropout: number | null;
  readonly epochs: number;
  readonly effectiveBatch: number;
  readonly microBatch: number | null;
  readonly learningRate: number;
  readonly schedule: "trapezoid" | "linear" | "cosine" | "constant";
  readonly warmup: number;
  readonly weightDecay: number;
  readonly maxGradNorm: number;
  readonly maxSeqLength: number | null;
  readonly overlong: Overlong;
  readonly gradientCheckpointing: boolean | null;
  readonly evalEverySteps: number | null;
  readonly saveEverySteps: number | null;
  readonly sampleEverySteps: number | null;
  readonly earlyStopping: number | null;
  readonly keep: Keep;
  readonly generationTokens: number;
  readonly prompts: readonly string[];
  readonly trackers: readonly Tracker[];
  readonly seed: number;
}

/** Where a value lies that job.json does not hold: the job reads it with its own rights. */
export interface SecretReference {
  /** The training program's variable that gets the value: "HF_TOKEN". */
  readonly name: string;
  /** A SecureString of Systems Manager: "/moxi/hf-token/0123456789abcdef". */
  readonly parameter: string;
  readonly region: string;
}

/** The plan rendered for one attempt: what the container reads. It holds no secrets. */
export interface Job {
  readonly formatVersion: 1;
  readonly run: string;
  /** 1, 2, ... */
  readonly attempt: number;
  /** Tells real events from text that looks like one, on the supervisor's output. */
  readonly nonce: string;
  readonly planHash: string;
  readonly recipeHash: string;
  readonly datasetFingerprint: string;
  readonly maxSeconds: number | null;
  /** Training processes: one, or one a GPU. */
  readonly processes: number;
  readonly secrets: readonly SecretReference[];
  readonly trainer: TrainerSettings;
}

export interface JobOptions {
  readonly run: string;
  readonly attempt: number;
  readonly nonce: string;
  readonly modelPath: string | null;
  /** Seconds after which the supervisor saves and ends. Default: the plan's limit. */
  readonly maxSeconds?: number | null;
  readonly secrets?: readonly SecretReference[];
}

/** Renders a plan for one attempt. */
export function renderJob(plan: Plan, options: JobOptions): Job {
  const { recipe, settings, machine } = plan;
  const { training, lora } = recipe;
  return {
    formatVersion: 1,
    run: options.run,
    attempt: options.attempt,
    nonce: options.nonce,
    planHash: plan.planHash,
    recipeHash: plan.recipeHash,
    datasetFingerprint: recipe.dataset.fingerprint,
    maxSeconds: options.maxSeconds === undefined ? plan.limits.maxSeconds : options.maxSeconds,
    // The toy is too small to share out: talking would take longer than computing.
    processes:
      machine.accelerator === "cuda" && recipe.model.id !== toyModel ? machine.accelerators : 1,
    secrets: options.secrets ?? [],
    trainer: {
      model: recipe.model.id,
      revision: recipe.model.revision,
      modelPath: options.modelPath,
      adapterPath: recipe.adapter === null ? null : adapterFolder,
      method: recipe.method,
      loraRank: lora?.rank ?? null,
      loraAlpha: lora?.alpha ?? null,
      loraDropout: lora?.dropout ?? null,
      epochs: training.epochs,
      effectiveBatch: training.effectiveBatch,
      microBatch: settings.microBatch,
      learningRate: training.learningRate,
      schedule: training.schedule,
      warmup: training.warmup,
      weightDecay: training.weightDecay,
      maxGradNorm: training.maxGradNorm,
      maxSeqLength: training.maxSeqLength,
      overlong: training.overlong,
      gradientCheckpointing: settings.gradientCheckpointing,
      evalEverySteps: settings.evalEverySteps,
      saveEverySteps: settings.saveEverySteps,
      sampleEverySteps: settings.sampleEverySteps,
      earlyStopping: training.earlyStopping,
      keep: training.keep,
      generationTokens: settings.generationTokens,
      prompts: plan.prompts,
      trackers: plan.trackers,
      seed: training.seed,
    },
  };
}
