import { join } from "node:path";
import { isMoxiError, systemCode, toMoxiError } from "../base/errors.ts";
import type { TargetStatus } from "../run/attempt.ts";
import type { RunEvent } from "../run/event.ts";
import type { RunStatus, View } from "../run/fold.ts";
import { runTime } from "../run/id.ts";
import { listRunIds } from "../store/find.ts";
import { readRun } from "../store/runs.ts";
import type { RunRecord } from "../store/runs.ts";
import type { Target } from "../targets/target.ts";
import type { Context } from "./context.ts";
import { foldRun, projectRuns, refsOf } from "./open.ts";
import { openTarget } from "./targets.ts";

/** One line of `moxi runs`. */
export interface RunSummary {
  readonly run: string;
  /**
   * `unreadable`: the run's folder is damaged or not ours; `unknown`: it lives in a cloud that does
   * not answer. `error` says why.
   */
  readonly status: RunStatus | "unreadable" | "unknown";
  readonly model: string | null;
  readonly method: string | null;
  readonly target: string | null;
  readonly createdAt: string | null;
  readonly step: number | null;
  readonly steps: number | null;
  readonly heldOutLoss: View["heldOutLoss"];
  /** USD so far; `null` where nothing is paid or nobody knows. */
  readonly usd: number | null;
  readonly error: string | null;
}

export interface RunsOptions {
  /** The newest so many; `null` lists all. Default: 20. */
  readonly limit?: number | null | undefined;
  /** Also the account's runs that this project does not know. */
  readonly remote?: boolean | undefined;
}

/**
 * The project's runs, newest first; no index is kept. Those of this machine are read from their
 * files. Those of a cloud are asked for there until they are over; where it does not answer, what
 * is not known stays unknown.
 */
export async function runs(context: Context, options: RunsOptions = {}): Promise<RunSummary[]> {
  const folder = projectRuns(context);
  const { limit = 20, remote = false } = options;
  const ids = await listRunIds(folder, limit);
  const summaries = new Map<string, RunSummary>();
  const elsewhere: RunRecord[] = [];
  let target: Target | undefined;
  for (const id of ids) {
    try {
      const record = await readRun(join(folder, id));
      if (record.plan.cloud !== null) {
        elsewhere.push(record);
        continue;
      }
      target ??= await openTarget(context, record.plan.target);
      summaries.set(id, await look(target, record));
    } catch (error) {
      // One folder that is damaged, or that another user owns, must not hide the others.
      if (!isMoxiError(error) && systemCode(error) === undefined) throw error;
      summaries.set(id, { ...nothing(id), error: toMoxiError(error).message });
    }
  }
  const known = () => ids.map((id) => summaries.get(id)!);
  if (elsewhere.length === 0 && !remote) return known();
  const { lookElsewhere } = await import("./runs-elsewhere.ts");
  const told = await lookElsewhere(context, elsewhere, { limit, all: remote });
  for (const each of told.known) summaries.set(each.run, each);
  const all = [...known(), ...told.others.filter(({ run }) => !summaries.has(run))];
  if (!remote) return all;
  const at = ({ createdAt }: RunSummary) => createdAt ?? "";
  return all.sort((a, b) => (at(a) < at(b) ? 1 : -1)).slice(0, limit ?? undefined);
}

/** Looks at a run by what its target tells for little. */
async function look(target: Target, record: RunRecord): Promise<RunSummary> {
  const refs = refsOf(record);
  const newest = refs.at(-1)!;
  const read = async () => (await Promise.all(refs.map((ref) => target.milestones(ref)))).flat();
  const events = await read();
  if (events.some(({ type, attempt }) => type === "end" && attempt === newest.attempt.attempt)) {
    return summaryOf(record, events, undefined);
  }
  // Then read again: an end that came in between is among the events.
  const status = await target.status(newest);
  return summaryOf(record, await read(), status);
}

/** A run's line, from the few events that it needs. */
export function summaryOf(
  record: RunRecord,
  events: readonly RunEvent[],
  status: TargetStatus | undefined,
): RunSummary {
  const view = foldRun(record, events, status);
  return {
    ...nothing(record.run),
    status: view.status,
    ...planned(record),
    step: view.progress?.step ?? null,
    steps: view.progress?.steps ?? null,
    heldOutLoss: view.heldOutLoss,
    usd: view.cost?.usd ?? null,
    error: view.error,
  };
}

/** What a run's record tells by itself. */
export function planned({
  run,
  plan,
  attempts,
}: RunRecord): Pick<RunSummary, "model" | "method" | "target" | "createdAt"> {
  const { model, method } = plan.recipe;
  const createdAt = attempts[0]?.at ?? runTime(run)?.toISOString() ?? null;
  return { model: model.id, method, target: plan.target, createdAt };
}

/** A line that tells nothing but the run's name, and when it was made where the name tells that. */
export function nothing(run: string): RunSummary {
  return {
    run,
    status: "unreadable",
    model: null,
    method: null,
    target: null,
    createdAt: runTime(run)?.toISOString() ?? null,
    step: null,
    steps: null,
    heldOutLoss: { first: null, last: null, best: null },
    usd: null,
    error: null,
  };
}
