import { join } from "node:path";
import { MoxiError } from "../base/errors.ts";
import { hasEnded } from "../run/fold.ts";
import { newRunId, normalRunId } from "../run/id.ts";
import type { Plan } from "../run/plan.ts";
import { listRunIds } from "../store/find.ts";
import { withLock } from "../store/lock.ts";
import {
  createRun,
  makeRunsFolder,
  newAttempt,
  newRunLock,
  readRun,
  runsFolder,
} from "../store/runs.ts";
import { load } from "./config.ts";
import { consent, offerOf } from "./consent.ts";
import type { Offer } from "./consent.ts";
import type { Context } from "./context.ts";
import { openRunFolder, refsOf, viewOf } from "./open.ts";
import { planRun } from "./plan-run.ts";
import { awaitMachine, preflight } from "./ready.ts";
import type { WhenBusy } from "./ready.ts";
import { openTarget } from "./targets.ts";

export interface TrainOptions {
  /** Settings by their config key, e.g. `{ epochs: 2 }`: stronger than every other source. */
  readonly flags?: Readonly<Record<string, unknown>> | undefined;
  /** Names the run, so that the same command given twice starts one run. */
  readonly runId?: string | undefined;
  /** When another run trains where only one can: refuse (the default), or wait for it. */
  readonly whenBusy?: WhenBusy | undefined;
  /** A plan that was saved (a run's plan.json), to be carried out to the letter. */
  readonly plan?: string | undefined;
  /** Agrees to the most that the run can cost. */
  readonly yes?: boolean | undefined;
  /** Asks a person whether a run may cost what it can cost; without it nobody is asked. */
  readonly ask?: ((offer: Offer) => Promise<boolean>) | undefined;
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
  const planned = await planRun(context, loaded, options.plan);
  const { plan, submission, price } = planned;

  if (chosen !== undefined && planned.target.capabilities.remote) {
    const { adoptExact } = await import("./elsewhere.ts");
    // Another machine may have started it. What keeps the cloud from telling, the checks will say.
    await adoptExact(planned.target, runs, chosen).catch(() => false);
  }
  const known = await sameRun(context, runs, plan, chosen);
  if (known.attach !== null) {
    return { run: known.attach, created: false, previous: known.previous, plan };
  }

  const { signal } = options;
  const target = await openTarget(context, plan.target, { plan, loaded, submits: true, signal });
  await preflight(context, target, plan);
  const limited = loaded.config.maxUsd !== undefined;
  const agreed = options.yes === true || options.plan !== undefined || limited;
  await consent(offerOf(plan, price), { agreed, ask: options.ask });
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
    const first = { ...newAttempt(run, 1, plan.target, now), ...(price && { price }) };
    return { ...again, record: await createRun(runs, run, plan, first) };
  });
  if (record === null) return { run: attach!, created: false, previous, plan };
  await target.submit({ ...refsOf(record)[0]!, ...submission });
  return { run: record.run, created: true, previous, plan };
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
