import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { MoxiError } from "../base/errors.ts";
import { formatDuration } from "../base/format.ts";
import { hashJson } from "../base/hash.ts";
import { isRecord } from "../base/json.ts";
import type { LoadedConfig } from "../config/loaded.ts";
import { flagName } from "../config/names.ts";
import type { Price } from "../run/cost.ts";
import type { Plan } from "../run/plan.ts";
import type { Recipe } from "../run/recipe.ts";
import { resolveRun } from "../store/find.ts";
import { readRun, runsFolder } from "../store/runs.ts";
import type { Planned, Submission, Target } from "../targets/target.ts";
import { offerOf } from "./consent.ts";
import type { Context } from "./context.ts";
import { prepareRows } from "./prepare-rows.ts";
import { openTarget } from "./targets.ts";
import { findTrainer, hashTrainer } from "./trainer.ts";

/** A plan, and what it needs of this machine's files. */
export interface PlannedRun {
  readonly plan: Plan;
  readonly submission: Pick<Submission, "dataset" | "modelFolder" | "adapterFolder">;
  /** What an hour costs at most; undefined where nothing is paid. */
  readonly price: Price | undefined;
}

/**
 * From config to plan: everything that can be known without Python and before anything starts.
 *
 * @param planFile a plan that was saved: it is carried out to the letter, or refused
 * @throws MoxiError whatever is wrong with config, dataset or model; E_PLAN where the saved plan is
 *   not what these files and this version of Moxi would train
 */
export async function planRun(
  context: Context,
  loaded: LoadedConfig,
  planFile?: string,
  signal?: AbortSignal,
): Promise<PlannedRun & { readonly target: Target }> {
  const saved = planFile === undefined ? undefined : await readPlan(context.cwd, planFile, loaded);
  const name = saved?.target ?? loaded.config.target;
  const target = await openTarget(context, name, { loaded, signal, ...(saved && { plan: saved }) });
  if (saved === undefined) target.prepare();
  const data = join(loaded.folder, ".moxi", "data");
  return { ...(await planAt(context, loaded, { place: target, saved, data })), target };
}

export interface PlanAtOptions {
  readonly place: Planned;
  readonly saved: Plan | undefined;
  /** Where the canonical rows go. */
  readonly data: string;
}

/** The same at a place that was opened, with a saved plan that was read. */
export async function planAt(
  context: Context,
  loaded: LoadedConfig,
  { place: target, saved, data }: PlanAtOptions,
): Promise<PlannedRun> {
  const { config, folder } = loaded;
  const trainer = await hashTrainer(findTrainer());
  const rows = await prepareRows(context, loaded, data, saved?.recipe, trainer.code);
  const { dataset, model } = rows;
  const adapter = config.from === undefined ? null : await adapterOf(folder, config.from, model);
  const submission = {
    dataset: { train: dataset.trainFile, eval: dataset.evalFile },
    modelFolder: model.folder,
    adapterFolder: adapter?.folder ?? null,
  };
  if (saved !== undefined) {
    refuseOther(saved, { dataset, model, adapter, trainer });
    const price = await target.price(saved);
    refuseDearer(saved, price, config);
    return { plan: saved, submission, price };
  }
  const [{ makePlan }, [machine], cloud] = await Promise.all([
    import("../planner/plan.ts"),
    target.machines(),
    target.cloud(model),
  ]);
  const price = cloud === null ? undefined : await target.price({ machine: machine!, cloud });
  const rental = cloud === null ? null : { cloud, price };
  const { sources } = loaded;
  const plan = makePlan({
    config,
    sources,
    dataset,
    model,
    adapter,
    machine: machine!,
    rental,
    trainer,
  });
  return { plan, submission, price };
}

/** The adapter that another run of this project left, if it fits on the same base model. */
async function adapterOf(folder: string, name: string, model: Recipe["model"]) {
  const { resolveAdapter } = await import("../model/adapter.ts");
  const runs = runsFolder(folder);
  const { run, folder: from, plan } = await readRun(join(runs, await resolveRun(runs, name)));
  if (plan.cloud !== null && !existsSync(join(from, "model"))) {
    throw new MoxiError("E_RUN_STATE", `the adapter of ${run} is not on this machine`, {
      hint: `moxi pull ${run}`,
      place: { field: "from" },
    });
  }
  return resolveAdapter({ run, folder: join(from, "model"), recipe: plan.recipe, model });
}

/**
 * Reads a run's plan.json, or what `moxi train --dry-run --json` printed.
 *
 * @throws E_PLAN for what is no plan, E_USAGE for flags that could only change it
 */
export async function readPlan(
  cwd: string,
  planFile: string,
  loaded: Pick<LoadedConfig, "config" | "sources">,
): Promise<Plan> {
  const file = resolve(cwd, planFile);
  const wrong = (why: string, cause?: unknown) =>
    new MoxiError("E_PLAN", `${planFile} is no plan: ${why}`, {
      hint: "give a run's plan.json, or what moxi train --dry-run --json printed",
      place: { file },
      cause,
    });
  const text = await readFile(file, "utf8").catch((error: unknown) => {
    throw wrong("it cannot be read", error);
  });
  // A file of lines: the plan is in the last of them.
  for (const candidate of [text, text.trimEnd().split("\n").at(-1) ?? ""]) {
    let value: unknown;
    try {
      value = JSON.parse(candidate);
    } catch {
      continue;
    }
    const plan = isRecord(value) && isRecord(value["plan"]) ? value["plan"] : value;
    if (!isRecord(plan) || plan["formatVersion"] !== 1) continue;
    const { planSchema } = await import("../run/schemas.ts");
    const parsed = planSchema.safeParse(plan);
    if (!parsed.success)
      throw wrong(`${parsed.error.issues[0]!.path.join(".")} is not as it must be`);
    const { decisions: _, planHash, ...hashed } = parsed.data;
    if (planHash !== hashJson(hashed)) throw wrong("it was changed: it does not have its planHash");
    refuseFlags(parsed.data, loaded);
    return parsed.data;
  }
  throw wrong("it has another format");
}

/** Flags that say something else than the plan would be ignored. */
function refuseFlags(
  plan: Plan,
  { config, sources }: Pick<LoadedConfig, "config" | "sources">,
): void {
  const flags = Object.entries(sources).filter(([, { source }]) => source === "flag");
  const idle = flags
    .map(([key]) => key)
    .filter((key) => !besidePlan.test(key))
    .filter((key) => key !== "target" || config.target !== plan.target);
  if (idle.length === 0) return;
  throw new MoxiError(
    "E_USAGE",
    `a plan is carried out to the letter: ${idle.map(flagName).join(", ")} cannot change it`,
    {
      hint: "leave the flags out, or make a new plan with them: moxi train --dry-run --json > plan.json",
      place: { field: idle[0]! },
    },
  );
}

/**
 * What a flag may say beside a plan: where the same rows and adapter lie and how the rows are read,
 * which the fingerprints prove, limits that the plan is held against, and where packages come from.
 */
const besidePlan =
  /^(?:dataset|columns\..+|rules|strict|skipBadRows|split\..+|from|maxUsd|maxHours|packageIndex)$/;

/** A limit that somebody sets beside a plan is meant: the plan is not changed by it, but held against it. */
export function refuseDearer(
  plan: Plan,
  price: Price | undefined,
  config: LoadedConfig["config"],
): void {
  const { maxUsd, maxHours } = config;
  const { maxSeconds } = plan.limits;
  const worstUsd = offerOf(plan, price)?.worstUsd;
  const limit =
    maxUsd !== undefined && worstUsd !== undefined && worstUsd > maxUsd + 0.005
      ? {
          field: "maxUsd",
          message: `the plan can cost $${worstUsd.toFixed(2)}, and maxUsd is ${maxUsd}`,
        }
      : maxHours !== undefined && (maxSeconds ?? Infinity) > Math.ceil(maxHours * 3600)
        ? {
            field: "maxHours",
            message: `the plan may take ${maxSeconds === null ? "any time" : formatDuration(maxSeconds)}, and maxHours is ${maxHours}`,
          }
        : undefined;
  if (limit === undefined) return;
  throw new MoxiError("E_BUDGET", limit.message, {
    hint: "make a new plan with that limit: moxi train --dry-run --json > plan.json",
    place: { field: limit.field },
  });
}

interface Found {
  readonly dataset: { readonly fingerprint: string };
  readonly model: Recipe["model"];
  readonly adapter: { readonly fingerprint: string } | null;
  readonly trainer: Recipe["trainer"];
}

/** A plan stands for what is learned; with other files it would be another. */
function refuseOther({ recipe }: Plan, { dataset, model, adapter, trainer }: Found): void {
  const differs = [
    recipe.dataset.fingerprint !== dataset.fingerprint && "the dataset or its split",
    recipe.model.fingerprint !== model.fingerprint && "the base model's files",
    recipe.adapter !== (adapter?.fingerprint ?? null) && "the adapter to start from",
    recipe.trainer.code !== trainer.code && "the training program: another version of Moxi",
    recipe.trainer.lock !== trainer.lock && "the packages of the training program",
  ].filter((text) => text !== false);
  if (differs.length === 0) return;
  throw new MoxiError("E_PLAN", "the plan was made for other files than these", {
    hint: "make a new one: moxi train --dry-run --json > plan.json",
    details: differs,
  });
}
