import { join } from "node:path";
import { MoxiError } from "../base/errors.ts";
import { formatDuration } from "../base/format.ts";
import type { LoadedConfig } from "../config/loaded.ts";
import { askedMachine, nextMachine } from "../run/attempt.ts";
import type { Attempt } from "../run/attempt.ts";
import { hasEnded } from "../run/fold.ts";
import type { View } from "../run/fold.ts";
import { costOf } from "../run/cost.ts";
import type { Plan } from "../run/plan.ts";
import { appendAttempt, isUnsubmitted, newAttempt, runLock } from "../store/runs.ts";
import type { RunRecord } from "../store/runs.ts";
import { withLock } from "../store/lock.ts";
import type { Submission, Target } from "../targets/target.ts";
import { load } from "./config.ts";
import { consent, offerOf } from "./consent.ts";
import type { Offer } from "./consent.ts";
import type { Context } from "./context.ts";
import { handOver } from "./hand-over.ts";
import { modelSources } from "./model-sources.ts";
import { openRun, viewOf } from "./open.ts";
import type { OpenedRun } from "./open.ts";
import { awaitMachine, preflight } from "./ready.ts";
import type { WhenBusy } from "./ready.ts";
import { openTarget } from "./targets.ts";

export interface ResumeOptions {
  /** A run's id, or what no other begins or ends with. Default: the newest run. */
  readonly run?: string | undefined;
  /** When another run trains where only one can: refuse (the default), or wait for it. */
  readonly whenBusy?: WhenBusy | undefined;
  /** Agrees to the most that the run can cost, where nobody has agreed to it on this machine. */
  readonly yes?: boolean | undefined;
  /** Asks a person the same; without it nobody is asked. */
  readonly ask?: ((offer: Offer) => Promise<boolean>) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ResumeResult {
  readonly run: string;
  readonly attempt: number;
  readonly plan: Plan;
}

/**
 * Goes on with a run that has ended early, from its newest valid checkpoint: the same run and
 * plan, the next attempt. A cloud that still has what an earlier attempt was submitted with needs
 * no file of this machine.
 *
 * @throws MoxiError E_RUN_STATE when it still runs or has succeeded, and what `train` throws
 */
export async function resume(context: Context, options: ResumeOptions = {}): Promise<ResumeResult> {
  const found = await openRun(context, options.run);
  // Before anything else, so that nobody reads checks of a run that cannot go on.
  if (!isUnsubmitted(found.record)) requireEndedEarly(await viewOf(found));
  const { record, refs } = found;
  const { run, folder, plan } = record;
  const loaded = await load(context);
  const { signal } = options;
  const target = await openTarget(context, plan.target, { plan, loaded, submits: true, signal });
  const kept = await target.kept(refs);
  const inputs = kept === null ? await sources(context, loaded, plan) : { kept };
  await preflight(context, target, plan);
  // A run that another machine started has a limit that nobody here has agreed to.
  const isOurs = record.attempts.some(({ submittedAt }) => submittedAt !== undefined);
  const offer = isOurs ? null : offerOf(plan, await target.price(plan));
  await consent(offer, { agreed: options.yes === true, ask: options.ask });
  await awaitMachine(context, target, options);

  const attempt = await withLock(runLock(folder), context.clock, async () => {
    const opened = await openRun(context, run);
    // Whoever began this attempt was cut off: it goes on, and no second one is made.
    if (isUnsubmitted(opened.record)) return opened.record.attempts.length;
    const view = await viewOf(opened);
    requireEndedEarly(view);
    const number = opened.record.attempts.length + 1;
    const next: Attempt = {
      ...newAttempt(run, number, plan.target, context.clock.now()),
      ...(target.capabilities.paid ? await budget(opened, target) : {}),
      ...machineFor(opened.record, view.failure),
    };
    await appendAttempt(opened.record, next);
    tellLimit(context, next, plan);
    return number;
  });
  await handOver(context, target, folder, inputs);
  return { run, attempt, plan };
}

function requireEndedEarly({ run, status }: View): void {
  if (!hasEnded(status)) {
    throw new MoxiError("E_RUN_STATE", `${run} is still ${status}`, { hint: `moxi watch ${run}` });
  }
  if (status === "succeeded") {
    throw new MoxiError("E_RUN_STATE", `${run} has succeeded: there is nothing to resume`, {
      hint: "moxi train starts a new run",
    });
  }
}

/** What the attempt can cost: less than the whole run, by what is spent. */
function tellLimit({ host }: Context, { maxSeconds, price }: Attempt, { cloud }: Plan): void {
  if (maxSeconds === undefined || price === undefined) return;
  const most = costOf(price, maxSeconds + (cloud?.warmPoolSeconds ?? 0)).toFixed(2);
  const text = `it goes on within what is left of its limit: at most $${most} for ${formatDuration(maxSeconds)}`;
  host.notify({ type: "info", text });
}

/** Less than this goes by before a rented machine has trained anything. */
const leastSeconds = 60;

/**
 * What is left of the run's limit, which somebody has agreed to: the earlier attempts have used the
 * rest, by the provider's own count.
 *
 * @throws E_BUDGET where nothing is left
 */
async function budget(
  { record, refs }: OpenedRun,
  target: Target,
): Promise<Pick<Attempt, "maxSeconds" | "carriedSeconds" | "price">> {
  const { run, plan } = record;
  const before = await Promise.all(refs.map((ref) => target.status(ref)));
  const billed = before.reduce((sum, { billedSeconds = 0 }) => sum + billedSeconds, 0);
  const kept = before.reduce((sum, { keptSeconds = 0 }) => sum + keptSeconds, 0);
  const carriedSeconds = Math.ceil(billed + kept);
  const price = await target.price(plan);
  const spent = { carriedSeconds, ...(price && { price }) };
  const { maxSeconds } = plan.limits;
  if (maxSeconds === null) return spent;
  // A machine that is kept for the next job may be paid for to the end of that time.
  const jobs = before.filter(({ billedSeconds = 0 }) => billedSeconds > 0).length;
  const reserved = Math.max(0, jobs * (plan.cloud?.warmPoolSeconds ?? 0) - kept);
  const left = maxSeconds - carriedSeconds - Math.floor(reserved);
  if (left >= leastSeconds) return { maxSeconds: left, ...spent };
  throw new MoxiError("E_BUDGET", `${run} has used up its limit of ${formatDuration(maxSeconds)}`, {
    hint: "start a new run with a higher --max-hours or --max-usd; --from goes on from an adapter",
  });
}

/**
 * The same machine again; where it could not be had, the next that the plan allows, and after the
 * last of them the first: it may be there again.
 */
function machineFor(
  { plan, attempts }: RunRecord,
  failure: View["failure"],
): Pick<Attempt, "machine"> {
  const newest = attempts.at(-1)!;
  const machine =
    failure?.kind === "no capacity"
      ? (nextMachine(plan, newest) ?? plan.machine.name)
      : askedMachine(plan, newest);
  return machine === plan.machine.name ? {} : { machine };
}

/** The plan's rows and base model, where `train` found or put them; the model must be the same still. */
async function sources(
  context: Context,
  loaded: LoadedConfig,
  plan: Plan,
): Promise<Pick<Submission, "dataset" | "modelFolder" | "adapterFolder">> {
  const { dataset, model } = plan.recipe;
  const { resolveModel } = await import("../model/resolve.ts");
  const revision = model.revision ?? undefined;
  const found = await resolveModel({ id: model.id, revision, ...modelSources(context, loaded) });
  if (found.fingerprint !== model.fingerprint) {
    throw new MoxiError(
      "E_RUN_STATE",
      `the model folder ${model.id} has changed since the run began`,
      {
        hint: "restore it, or start a new run with moxi train",
        place: { field: "model" },
      },
    );
  }
  const data = join(loaded.folder, ".moxi", "data", dataset.fingerprint);
  const rows = {
    train: join(data, "train.jsonl"),
    eval: dataset.evalRows === 0 ? null : join(data, "eval.jsonl"),
  };
  return { dataset: rows, modelFolder: found.folder, adapterFolder: null };
}
