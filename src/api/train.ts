import { join } from "node:path";
import { MoxiError } from "../base/errors.ts";
import { formatCount } from "../base/format.ts";
import type { LoadedConfig } from "../config/loaded.ts";
import { hasEnded } from "../run/fold.ts";
import { newRunId, normalRunId } from "../run/id.ts";
import type { Plan } from "../run/plan.ts";
import type { Recipe } from "../run/recipe.ts";
import { listRunIds, resolveRun } from "../store/find.ts";
import { withLock } from "../store/lock.ts";
import {
  createRun,
  hideFromGit,
  makeRunsFolder,
  newAttempt,
  newRunLock,
  readRun,
  runsFolder,
} from "../store/runs.ts";
import type { Submission, Target } from "../targets/target.ts";
import { load } from "./config.ts";
import type { Context } from "./context.ts";
import { checkSettings } from "./data-check.ts";
import { localDataset } from "./data-source.ts";
import { openRunFolder, refsOf, viewOf } from "./open.ts";
import { awaitMachine, preflight, preparePython } from "./ready.ts";
import type { WhenBusy } from "./ready.ts";
import { openTarget } from "./targets.ts";
import { findTrainer, hashTrainer } from "./trainer.ts";

export interface TrainOptions {
  /** Settings by their config key, e.g. `{ epochs: 2 }`: stronger than every other source. */
  readonly flags?: Readonly<Record<string, unknown>> | undefined;
  /** Names the run, so that the same command given twice starts one run. */
  readonly runId?: string | undefined;
  /** When another run trains where only one can: refuse (the default), or wait for it. */
  readonly whenBusy?: WhenBusy | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface TrainResult {
  readonly run: string;
  /** False when an unfinished run of the same plan was found: this call attached to it. */
  readonly created: boolean;
  /** The newest run of the same plan that has ended. */
  readonly previous: string | null;
  readonly plan: Plan;
}

/**
 * Checks everything, freezes the plan and starts a run; returns when it has started, which is when
 * it no longer needs this process. Follow it with `watch`.
 *
 * @throws MoxiError whatever is wrong with config, dataset, model, Python or target, before the start
 */
export async function train(context: Context, options: TrainOptions = {}): Promise<TrainResult> {
  const chosen = chosenId(options.runId);
  const loaded = await load(context, options.flags);
  for (const text of loaded.warnings) context.host.notify({ type: "warning", text });
  const runs = runsFolder(loaded.folder);
  const { plan, submission } = await makeReady(context, loaded);

  const known = await sameRun(context, runs, plan, chosen);
  if (known.attach !== null) {
    return { run: known.attach, created: false, previous: known.previous, plan };
  }

  const python = await preparePython(context, options.signal);
  const target = await openTarget(context, plan.target, { python, loaded });
  await preflight(context, target, plan);
  if (options.whenBusy === "wait") await awaitMachine(context, target, options);

  await makeRunsFolder(runs);
  // Of two that begin the same plan at the same instant, the later must find the earlier's run.
  const { record, attach, previous } = await withLock(newRunLock(runs), context.clock, async () => {
    const again = await sameRun(context, runs, plan, chosen);
    if (again.attach !== null) return { ...again, record: null };
    // Who waits has waited; a run that came first in between is waited for by the supervisor.
    if (options.whenBusy !== "wait") await awaitMachine(context, target, options);
    const now = context.clock.now();
    const run = chosen ?? newRunId(now);
    const first = newAttempt(run, 1, plan.target, now);
    return { ...again, record: await createRun(runs, run, plan, first) };
  });
  if (record === null) return { run: attach!, created: false, previous, plan };
  await target.submit({ ...refsOf(record)[0]!, ...submission });
  return { run: record.run, created: true, previous, plan };
}

type Ready = {
  plan: Plan;
  submission: Pick<Submission, "dataset" | "modelFolder" | "adapterFolder">;
};

/** From config to plan: everything that can be known without Python and before anything starts. */
async function makeReady(context: Context, loaded: LoadedConfig): Promise<Ready> {
  const { config, folder, secrets, hubUrl } = loaded;
  const { host, home, fetch } = context;
  const target: Target = await openTarget(context, config.target, { loaded });
  const [{ prepareDataset }, { resolveModel }, { makePlan }] = await Promise.all([
    import("../dataset/prepare.ts"),
    import("../model/resolve.ts"),
    import("../planner/plan.ts"),
  ]);

  const dataset = await prepareDataset({
    path: await localDataset(context, loaded, config.dataset),
    cwd: context.cwd,
    split: config.split,
    ...checkSettings(config),
    outFolder: join(folder, ".moxi", "data"),
    host,
  });
  await hideFromGit(join(folder, ".moxi"));
  const rows = `${formatCount(dataset.trainRows)} rows to train on, ${formatCount(dataset.evalRows)} held out`;
  host.notify({ type: "task", id: "dataset", state: "done", text: `${rows} (${dataset.format})` });
  for (const text of dataset.warnings) host.notify({ type: "warning", text });

  const model = await resolveModel({
    id: config.model,
    revision: config.revision,
    baseFolder: folder,
    token: secrets.huggingFaceToken,
    hubUrl,
    fetch,
    home,
    env: loaded.env,
  });
  for (const text of model.warnings) host.notify({ type: "warning", text });

  const adapter = config.from === undefined ? null : await adapterOf(folder, config.from, model);
  const [[machine], trainer] = await Promise.all([target.machines(), hashTrainer(findTrainer())]);
  const plan = makePlan({
    config,
    sources: loaded.sources,
    dataset,
    model,
    adapter,
    machine: machine!,
    trainer,
  });
  const files = { train: dataset.trainFile, eval: dataset.evalFile };
  const adapterFolder = adapter?.folder ?? null;
  return { plan, submission: { dataset: files, modelFolder: model.folder, adapterFolder } };
}

/** The adapter that another run of this project left, if it fits on the same base model. */
async function adapterOf(folder: string, name: string, model: Recipe["model"]) {
  const { resolveAdapter } = await import("../model/adapter.ts");
  const runs = runsFolder(folder);
  const { run, folder: from, plan } = await readRun(join(runs, await resolveRun(runs, name)));
  return resolveAdapter({ run, folder: join(from, "model"), recipe: plan.recipe, model });
}

function chosenId(given: string | undefined): string | undefined {
  if (given === undefined) return undefined;
  const id = normalRunId(given);
  if (id !== undefined) return id;
  throw new MoxiError("E_USAGE", `"${given.slice(0, 60)}" cannot name a run`, {
    hint: "use lower-case letters, digits and dashes, at most 50, e.g. --run-id ci-42",
    place: { field: "run-id" },
  });
}

/** How many recorded runs are looked at for one that is the same: more than can be unfinished here. */
const recentRuns = 50;

/** The run to attach to: the one with the chosen id, or an unfinished one of the same plan. */
async function sameRun(
  context: Context,
  runs: string,
  plan: Plan,
  chosen: string | undefined,
): Promise<{ attach: string | null; previous: string | null }> {
  let previous: string | null = null;
  const ids = await listRunIds(runs, chosen === undefined ? recentRuns : null);
  for (const id of chosen === undefined ? ids : ids.filter((one) => one === chosen)) {
    const folder = join(runs, id);
    const planHash = await readRun(folder).then(
      (record) => record.plan.planHash,
      (error: unknown) => {
        if (id === chosen) throw error;
        return undefined; // `moxi runs` shows what is wrong with it
      },
    );
    if (id === chosen) {
      if (planHash === plan.planHash) return { attach: id, previous };
      throw new MoxiError("E_RUN_ID_TAKEN", `the run ${id} has another plan`, {
        hint: "choose another --run-id, or give the settings that the run was started with",
        place: { file: folder },
      });
    }
    if (planHash !== plan.planHash) continue;
    const view = await viewOf(await openRunFolder(context, folder));
    if (!hasEnded(view.status)) return { attach: id, previous };
    previous ??= id;
  }
  return { attach: null, previous };
}
