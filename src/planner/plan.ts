import { MoxiError } from "../base/errors.ts";
import { freezePlan } from "../run/plan.ts";
import { costOf } from "../run/cost.ts";
import type { Price } from "../run/cost.ts";
import type { CloudSettings, Decision, Machine, Plan, TargetName } from "../run/plan.ts";
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
  readonly trackers?: Plan["trackers"];
  readonly maxHours?: number;
  readonly maxUsd?: number;
  readonly sagemaker?: { readonly image?: string };
}

export interface PlanInput {
  readonly config: PlanConfig;
  /** By dotted key: where a setting comes from. "default", or no entry: nobody set it. */
  readonly sources: Readonly<Record<string, { readonly source: string; readonly where?: string }>>;
  readonly dataset: Recipe["dataset"];
  readonly model: Recipe["model"] & { readonly parameters?: number };
  /** The adapter to start from. */
  readonly adapter?: {
    readonly run: string;
    readonly fingerprint: string;
    readonly lora: NonNullable<Recipe["lora"]>;
  } | null;
  readonly machine: Machine;
  /** Where the machine is rented, and what it costs at most; `null` on this machine. */
  readonly rental?: { readonly cloud: CloudSettings; readonly price: Price | undefined } | null;
  readonly trainer: Recipe["trainer"];
}

/**
 * Settles every value that was left open, each with its reason, and freezes the plan. Fields
 * are named one by one: whatever else an argument carries must not get into a hash.
 *
 * @throws MoxiError E_CONFIG_INVALID for a method that the machine cannot carry out, and for settings
 * that the adapter to start from contradicts
 */
export function makePlan(input: PlanInput): Plan {
  const { dataset, machine, model, trainer, adapter = null } = input;
  refuseMethod(input.config.method, machine);
  const config = adapter === null ? input.config : continued(input, adapter);
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

  if (adapter !== null) decide("from", adapter.run, "given");
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
              adapter === null
                ? "holds what tens of thousands of rows teach"
                : `as in ${adapter.run}`,
            ),
            alpha: decide(
              "lora.alpha",
              config.lora.alpha,
              adapter === null ? "twice the rank" : `as in ${adapter.run}`,
            ),
            dropout: decide("lora.dropout", config.lora.dropout, "off: few passes need none"),
          },
    adapter: adapter?.fingerprint ?? null,
    training: {
      epochs: settle("epochs"),
      effectiveBatch: settle("effectiveBatch"),
      learningRate: settle("learningRate"),
      schedule: settle("schedule"),
      warmup: settle("warmup"),
      weightDecay: settle("weightDecay"),
      maxGradNorm: settle("maxGradNorm"),
      maxSeqLength: leave("maxSeqLength", config.maxSeqLength),
      overlong: settle("overlong"),
      earlyStopping: leave("earlyStopping", config.earlyStopping),
      keep: settle("keep"),
      seed: settle("seed"),
    },
    trainer: { code: trainer.code, lock: trainer.lock },
  };
  const maxSeconds = limitOf(input, decide);
  // Of all that is set of the cloud, this alone cannot be told from what AWS answers.
  if (input.rental && config.sagemaker?.image?.includes("@sha256:") === true) {
    decide("sagemaker.image", "pinned", "given");
  }
  return freezePlan({
    formatVersion: 1,
    recipe,
    target: config.target,
    machine: {
      name: machine.name,
      accelerator: machine.accelerator,
      accelerators: machine.accelerators,
    },
    cloud: input.rental?.cloud ?? null,
    settings: {
      microBatch: leave("microBatch", config.microBatch),
      gradientCheckpointing: leave("gradientCheckpointing", config.gradientCheckpointing),
      evalEverySteps: leave("evalEverySteps", config.evalEverySteps),
      saveEverySteps: leave("saveEverySteps", config.saveEverySteps),
      sampleEverySteps: leave("sampleEverySteps", config.sampleEverySteps),
      generationTokens: settle("generationTokens"),
    },
    prompts: config.prompts ?? [],
    trackers: config.trackers ?? [],
    limits: { maxSeconds },
    decisions,
  });
}

/** The longest run where nobody set a limit and every hour costs: a day. SageMaker's own default. */
const longestSeconds = 86_400;
/** Less than this goes by before a rented machine has trained anything. */
const shortestSeconds = 300;

/** Seconds that the run may take, out of hours and dollars; `null`: no limit. */
function limitOf(
  { config: { maxHours, maxUsd }, rental = null }: PlanInput,
  decide: (name: string, value: number, reason: string) => number,
): number | null {
  const byHours = maxHours === undefined ? null : Math.max(1, Math.round(maxHours * 3600));
  if (maxHours !== undefined) decide("maxHours", maxHours, "given");
  if (rental === null) return byHours;
  if (maxUsd === undefined) {
    if (byHours !== null) return byHours;
    decide("maxHours", longestSeconds / 3600, "a day at most, where every hour costs money");
    return longestSeconds;
  }
  const { price } = rental;
  if (price === undefined) {
    throw new MoxiError("E_BUDGET", "maxUsd limits a price that could not be found out", {
      hint: "set maxHours instead, or allow pricing:GetProducts",
      place: { field: "maxUsd" },
    });
  }
  // A machine that is kept for the next run is paid for too.
  const kept = rental.cloud.warmPoolSeconds ?? 0;
  const byUsd = Math.floor((maxUsd / price.perHour) * 3600) - kept;
  if (byUsd < shortestSeconds) {
    const least = Math.ceil(costOf(price, shortestSeconds + kept) * 100) / 100;
    throw new MoxiError("E_BUDGET", `$${maxUsd} pays for ${Math.max(0, byUsd)} s of the machine`, {
      hint: `set maxUsd to ${least} or more: a job takes minutes before it trains`,
      place: { field: "maxUsd" },
    });
  }
  decide("maxUsd", maxUsd, `at $${price.perHour} an hour`);
  return Math.min(byUsd, byHours ?? longestSeconds);
}

/** NF4's kernels are written for CUDA: elsewhere a run would fail after everything is loaded. */
function refuseMethod(method: Method, machine: Machine): void {
  if (method !== "qlora" || machine.accelerator === "cuda") return;
  throw new MoxiError(
    "E_CONFIG_INVALID",
    `qlora needs an NVIDIA GPU, and ${machine.name} has none`,
    {
      hint: "use the method lora: the same adapter, on weights of 16 or 32 bits",
      place: { field: "method" },
    },
  );
}

/** An adapter keeps its shape: what nobody set is as it was, what differs is refused. */
function continued(
  { config, sources }: PlanInput,
  { run, lora }: NonNullable<PlanInput["adapter"]>,
): PlanConfig {
  if (config.method === "full") {
    throw new MoxiError("E_CONFIG_INVALID", `from ${run}: the method full trains no adapter`, {
      hint: "use the method lora, or take from out",
      place: { field: "method" },
    });
  }
  const isSet = (key: string) => (sources[key]?.source ?? "default") !== "default";
  for (const key of ["rank", "alpha"] as const) {
    if (!isSet(`lora.${key}`) || config.lora[key] === lora[key]) continue;
    const given = `lora.${key} is ${config.lora[key]}`;
    throw new MoxiError(
      "E_CONFIG_INVALID",
      `${given}, and the adapter of ${run} has ${lora[key]}`,
      {
        hint: `leave lora.${key} out: an adapter keeps its shape`,
        place: { field: `lora.${key}` },
      },
    );
  }
  const dropout = isSet("lora.dropout") ? config.lora.dropout : lora.dropout;
  return { ...config, lora: { rank: lora.rank, alpha: lora.alpha, dropout } };
}

function methodReason({ model, method }: Facts): string {
  if (method === "qlora") return "an adapter, and a quarter of the memory for the weights";
  if (method === "lora") return "an adapter needs a fraction of the memory";
  return model === toyModel ? `${toyModel} starts from random weights` : "every weight";
}
