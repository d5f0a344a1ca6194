import { freezePlan } from "../run/plan.ts";
import type { Decision, Machine, Plan, TargetName } from "../run/plan.ts";
import { toyModel } from "../run/recipe.ts";
import type { Method, Recipe } from "../run/recipe.ts";
import { defaultsFor } from "./defaults.ts";
import type { Defaults, Facts } from "./defaults.ts";

/** The part of a config that a plan is made from; what is missing is settled here or by the trainer. */
export interface PlanConfig extends Partial<Recipe["training"]>, Partial<Plan["settings"]> {
  readonly method: Method;
  readonly target: TargetName;
  readonly lora: NonNullable<Recipe["lora"]>;
  readonly prompts?: readonly string[];
  readonly maxHours?: number;
}

export interface PlanInput {
  readonly config: PlanConfig;
  /** By dotted key: where a setting comes from. "default", or no entry: nobody set it. */
  readonly sources: Readonly<Record<string, { readonly source: string; readonly where?: string }>>;
  readonly dataset: Recipe["dataset"];
  readonly model: Recipe["model"] & { readonly parameters?: number };
  readonly machine: Machine;
  readonly trainer: Recipe["trainer"];
}

/**
 * Settles every value that was left open, each with its reason, and freezes the plan. Fields
 * are named one by one: whatever else an argument carries must not get into a hash.
 */
export function makePlan(input: PlanInput): Plan {
  const { config, dataset, machine, model, trainer } = input;
  const facts = {
    model: model.id,
    parameters: model.parameters,
    method: config.method,
    trainRows: dataset.trainRows,
  };
  const defaults = defaultsFor(facts);
  const decisions: Decision[] = [];

  const decide = <T extends Decision["value"]>(name: string, value: T, reason: string): T => {
    const { source = "default", where = source } = input.sources[name] ?? {};
    decisions.push({
      name,
      value,
      reason: source === "default" ? reason : `set by you (${where})`,
    });
    return value;
  };
  const settle = <K extends keyof Defaults>(name: K): Defaults[K]["value"] =>
    decide(name, config[name] ?? defaults[name].value, defaults[name].reason);
  /** What nobody set stays open: the trainer decides it on the machine, and prints why. */
  const leave = <T extends Decision["value"]>(name: string, set: T | null | undefined): T | null =>
    set === undefined || set === null ? null : decide(name, set, "given");

  const recipe: Recipe = {
    formatVersion: 1,
    model: { id: model.id, revision: model.revision, fingerprint: model.fingerprint },
    dataset: {
      fingerprint: dataset.fingerprint,
      trainRows: dataset.trainRows,
      evalRows: dataset.evalRows,
    },
    method: decide("method", config.method, methodReason(facts)),
    lora:
      config.method === "full"
        ? null
        : {
            rank: decide(
              "lora.rank",
              config.lora.rank,
              "holds what tens of thousands of rows teach",
            ),
            alpha: decide("lora.alpha", config.lora.alpha, "twice the rank"),
            dropout: decide("lora.dropout", config.lora.dropout, "off: few passes need none"),
          },
    training: {
      epochs: settle("epochs"),
      effectiveBatch: settle("effectiveBatch"),
      learningRate: settle("learningRate"),
      schedule: settle("schedule"),
      warmup: settle("warmup"),
      weightDecay: settle("weightDecay"),
      maxGradNorm: settle("maxGradNorm"),
      maxSeqLength: leave("maxSeqLength", config.maxSeqLength),
      seed: settle("seed"),
    },
    trainer: { code: trainer.code, lock: trainer.lock },
  };
  const maxHours = leave("maxHours", config.maxHours);
  return freezePlan({
    formatVersion: 1,
    recipe,
    target: config.target,
    machine: {
      name: machine.name,
      accelerator: machine.accelerator,
      accelerators: machine.accelerators,
    },
    settings: {
      microBatch: leave("microBatch", config.microBatch),
      gradientCheckpointing: leave("gradientCheckpointing", config.gradientCheckpointing),
      evalEverySteps: leave("evalEverySteps", config.evalEverySteps),
      saveEverySteps: leave("saveEverySteps", config.saveEverySteps),
      generationTokens: settle("generationTokens"),
    },
    prompts: config.prompts ?? [],
    limits: { maxSeconds: maxHours === null ? null : Math.max(1, Math.round(maxHours * 3600)) },
    decisions,
  });
}

function methodReason({ model, method }: Facts): string {
  if (method === "lora") return "an adapter needs a fraction of the memory";
  return model === toyModel ? `${toyModel} starts from random weights` : "every weight";
}
