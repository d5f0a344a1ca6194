import { join } from "node:path";
import { MoxiError } from "../base/errors.ts";
import { hasEnded } from "../run/fold.ts";
import { newRunId, normalRunId } from "../run/id.ts";
import { intentOf } from "../run/plan.ts";
import type { Plan } from "../run/plan.ts";
import { listRunIds } from "../store/find.ts";
import { withLock } from "../store/lock.ts";
import {
  createRun,
  isUnsubmitted,
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
import { handOver } from "./hand-over.ts";
import { openRunFolder, viewOf } from "./open.ts";
import { planRun, refuseDearer } from "./plan-run.ts";
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
  /** False when a run of the same plan was found that its target has: this call attached to it. */
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
  const { signal } = options;
  const planned = await planRun(context, loaded, options.plan, signal);
  const { plan, submission, price } = planned;

  if (chosen !== undefined && planned.target.capabilities.remote) {
    const { adoptExact } = await import("./elsewhere.ts");
    // Another machine may have started it. What keeps the cloud from telling, the checks will say.
    await adoptExact(planned.target, runs, chosen).catch(() => false);
  }
  const intent = intentOf(plan);
  // A saved plan is meant to the letter.
  const isSame = (other: Plan) =>
    other.planHash === plan.planHash || (options.plan === undefined && intentOf(other) === intent);
  const known = await sameRun(context, runs, isSame, chosen);
  if (known.attach !== null && known.submitted) {
    return { run: known.attach, created: false, previous: known.previous, plan };
  }

  // What a run here needs is installed for a run alone; a cloud that was opened has answers already.
  const target = planned.target.capabilities.paid
    ? planned.target
    : await openTarget(context, plan.target, { plan, loaded, submits: true, signal });
  await preflight(context, target, plan);
  const limited = loaded.config.maxUsd !== undefined;
  const agreed = options.yes === true || options.plan !== undefined || limited;
  await consent(offerOf(plan, price), { agreed, ask: options.ask });
  if (options.whenBusy === "wait") await awaitMachine(context, target, options);

  await makeRunsFolder(runs);
  // Of two that begin the same plan at the same instant, the later must find the earlier's run.
  const begin = async () => {
    const again = await sameRun(context, runs, isSame, chosen);
    if (again.attach !== null) {
      // It was planned at another price, perhaps: it will be sent as it was planned.
      refuseDearer((await readRun(join(runs, again.attach))).plan, price, loaded.config);
      return { ...again, run: again.attach, created: false };
    }
    // Who waits has waited; a run that came first in between is waited for by the supervisor.
    if (options.whenBusy !== "wait") await awaitMachine(context, target, options);
    const now = context.clock.now();
    const run = chosen ?? newRunId(now);
    const first = { ...newAttempt(run, 1, plan.target, now), ...(price && { price }) };
    await createRun(runs, run, plan, first);
    return { ...again, run, created: true };
  };
  const { run, submitted, created, previous } = await withLock(
    newRunLock(runs),
    context.clock,
    begin,
  );
  if (!submitted) await handOver(context, target, join(runs, run), submission);
  return { run, created, previous, plan };
}

/** The id that the user chose for a run. @throws MoxiError E_USAGE */
export function chosenId(given: string | undefined): string | undefined {
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

interface SameRun {
  /** The run to attach to. */
  readonly attach: string | null;
  /** Whether its target is known to have accepted it. */
  readonly submitted: boolean;
  readonly previous: string | null;
}

/**
 * The run with the chosen id, or one of the same plan that is unfinished, or that was never
 * submitted: going on with it sends nothing twice, and starts one job.
 */
async function sameRun(
  context: Context,
  runs: string,
  isSamePlan: (plan: Plan) => boolean,
  chosen: string | undefined,
): Promise<SameRun> {
  let previous: string | null = null;
  const ids = await listRunIds(runs, chosen === undefined ? recentRuns : null);
  for (const id of chosen === undefined ? ids : ids.filter((one) => one === chosen)) {
    const folder = join(runs, id);
    const record = await readRun(folder).catch((error: unknown) => {
      if (id === chosen) throw error;
      return undefined; // `moxi runs` shows what is wrong with it
    });
    const isSame = record !== undefined && isSamePlan(record.plan);
    const submitted = record !== undefined && !isUnsubmitted(record);
    if (id === chosen) {
      if (isSame) return { attach: id, submitted, previous };
      throw new MoxiError("E_RUN_ID_TAKEN", `the run ${id} has another plan`, {
        hint: "choose another --run-id, or give the settings that the run was started with",
        place: { file: folder },
      });
    }
    if (!isSame) continue;
    if (!submitted) return { attach: id, submitted, previous };
    const view = await viewOf(await openRunFolder(context, folder));
    if (!hasEnded(view.status)) return { attach: id, submitted, previous };
    previous ??= id;
  }
  return { attach: null, submitted: false, previous };
}
