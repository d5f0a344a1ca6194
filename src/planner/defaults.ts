import type { Plan } from "../run/plan.ts";
import { toyModel } from "../run/recipe.ts";
import type { Method, Recipe } from "../run/recipe.ts";

/** A value that nobody set, and why it is what it is. */
export interface Default<T> {
  readonly value: T;
  readonly reason: string;
}

/** What the defaults depend on. */
export interface Facts {
  readonly model: string;
  /** Weights of the base model, where they are known. */
  readonly parameters?: number | undefined;
  readonly method: Method;
  readonly trainRows: number;
}

/** One default for each value that a plan needs and a user may leave open. */
export type Defaults = {
  readonly [K in Exclude<keyof Recipe["training"], "maxSeqLength" | "earlyStopping">]: Default<
    Recipe["training"][K]
  >;
} & { readonly generationTokens: Default<Plan["settings"]["generationTokens"]> };

// The toy starts from random weights: it needs the rate and the passes of training from scratch.
const toy = { epochs: 5, effectiveBatch: 4, learningRate: 1.5e-3, warmup: 0.05 };

/** The defaults for one dataset and model. */
export function defaultsFor(facts: Facts): Defaults {
  return {
    epochs: epochs(facts),
    effectiveBatch: effectiveBatch(facts),
    learningRate: learningRate(facts),
    // Hägele et al., Scaling Laws and Compute-Optimal Training Beyond Fixed Durations, 2024.
    schedule: { value: "trapezoid", reason: "learns at the full rate until the last fifth" },
    warmup: { value: 0.03, reason: "a few steps, until Adam knows the gradients" },
    weightDecay: { value: 0, reason: "fine-tuning is too short to need it" },
    maxGradNorm: { value: 1, reason: "clips the rare wild gradient" },
    overlong: { value: "drop", reason: "an answer that is cut teaches to stop in its middle" },
    keep: { value: "best", reason: "the last step is not always the one that generalises best" },
    seed: { value: 42, reason: "fixed, so that a run can be repeated" },
    generationTokens: { value: 128, reason: "enough to judge an answer by" },
    ...(facts.model === toyModel && toyDefaults()),
  };
}

function toyDefaults(): { [K in keyof typeof toy]: Default<number> } {
  const reason = `${toyModel} starts from random weights`;
  return {
    epochs: { value: toy.epochs, reason },
    effectiveBatch: { value: toy.effectiveBatch, reason },
    learningRate: { value: toy.learningRate, reason },
    warmup: { value: toy.warmup, reason },
  };
}

function epochs({ trainRows }: Facts): Default<number> {
  if (trainRows < 2000) return { value: 3, reason: "three passes under 2,000 rows" };
  if (trainRows < 20_000) return { value: 2, reason: "two passes from 2,000 to 20,000 rows" };
  return { value: 1, reason: "one pass from 20,000 rows up" };
}

/** LoRA tolerates large batches less than full training (LoRA Without Regret, 2025). */
function effectiveBatch({ trainRows }: Facts): Default<number> {
  if (trainRows >= 200)
    return { value: 16, reason: "large enough to be steady, small enough for LoRA" };
  const value = trainRows >= 64 ? 8 : 4;
  return { value, reason: "under 200 rows: smaller steps, so that there are enough of them" };
}

/** LoRA's best rate is about ten times that of full training, whatever the rank (ibid.). */
function learningRate({ method, parameters = 0 }: Facts): Default<number> {
  if (method === "full") return { value: 2e-5, reason: "usual for training every weight" };
  return parameters >= 30e9
    ? { value: 1e-4, reason: "usual for LoRA on 30 billion weights or more" }
    : { value: 2e-4, reason: "usual for LoRA: ten times that of full training" };
}
