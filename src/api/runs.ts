import { readFileSync } from "node:fs";
import { join } from "node:path";
import { isMoxiError, systemCode, toMoxiError } from "../base/errors.ts";
import type { TargetStatus } from "../run/attempt.ts";
import type { RunEvent } from "../run/event.ts";
import type { RunStatus, View } from "../run/fold.ts";
import { runTime } from "../run/id.ts";
import { listRunIds } from "../store/find.ts";
import { readRun } from "../store/runs.ts";
import { parseEvent } from "../targets/lines.ts";
import { attemptFiles } from "../targets/local/files.ts";
import type { RunRef } from "../targets/target.ts";
import type { Context } from "./context.ts";
import { foldRun, projectRuns, refsOf } from "./open.ts";
import { openTarget } from "./targets.ts";

/** One line of `moxi runs`. */
export interface RunSummary {
  readonly run: string;
  /** `unreadable`: the run's folder is damaged or not ours; `error` says how. */
  readonly status: RunStatus | "unreadable";
  readonly model: string | null;
  readonly method: string | null;
  readonly target: string | null;
  readonly createdAt: string | null;
  readonly step: number | null;
  readonly steps: number | null;
  readonly heldOutLoss: View["heldOutLoss"];
  readonly error: string | null;
}

export interface RunsOptions {
  /** The newest so many; `null` lists all. Default: 20. */
  readonly limit?: number | null | undefined;
}

/** The project's runs, newest first. Reads the run's files only; no index is kept. */
export async function runs(context: Context, options: RunsOptions = {}): Promise<RunSummary[]> {
  const folder = projectRuns(context);
  const { limit = 20 } = options;
  const ids = await listRunIds(folder, limit);
  const summaries: RunSummary[] = [];
  for (const id of ids) summaries.push(await summary(context, join(folder, id), id));
  return summaries;
}

async function summary(context: Context, folder: string, run: string): Promise<RunSummary> {
  try {
    const record = await readRun(folder);
    const refs = refsOf(record);
    let events = refs.flatMap(milestones);
    let status: TargetStatus | undefined;
    const newest = refs.at(-1)!;
    if (!events.some((event) => event.type === "end" && event.attempt === newest.attempt.attempt)) {
      // Then read again: an end that came in between is among the events.
      status = await (
        await openTarget(context, record.plan.target, { plan: record.plan })
      ).status(newest);
      events = refs.flatMap(milestones);
    }
    const view = foldRun(record, events, status);
    return {
      run,
      status: view.status,
      model: view.model,
      method: view.method,
      target: view.target,
      createdAt: view.startedAt ?? runTime(run)?.toISOString() ?? null,
      step: view.progress?.step ?? null,
      steps: view.progress?.steps ?? null,
      heldOutLoss: view.heldOutLoss,
      error: view.error,
    };
  } catch (error) {
    // One folder that is damaged, or that another user owns, must not hide the others.
    if (!isMoxiError(error) && systemCode(error) === undefined) throw error;
    const unknown = { model: null, method: null, target: null, step: null, steps: null };
    return {
      run,
      status: "unreadable",
      ...unknown,
      createdAt: runTime(run)?.toISOString() ?? null,
      heldOutLoss: { first: null, last: null, best: null },
      error: toMoxiError(error).message,
    };
  }
}

/** The events of an attempt that a summary needs: all but the steps, of which the newest is enough. */
function milestones(ref: RunRef): RunEvent[] {
  const { attempt, nonce } = ref.attempt;
  const mark = `@moxi:${nonce} `;
  const lines = logText(ref)
    .split("\n")
    .slice(0, -1) // after the last line end: nothing, or a line that is still being written
    .flatMap((line) => (line.startsWith(mark) ? line.slice(mark.length) : []));
  const isStep = (line: string) => /"type": ?"step"/.test(line);
  const lastStep = lines.findLastIndex(isStep);
  return lines
    .filter((line, index) => index === lastStep || !isStep(line))
    .flatMap((line) => parseEvent(Buffer.from(line, "latin1").toString()) ?? [])
    .filter((event) => event.attempt === attempt);
}

/** The log that `show` reads too, as bytes: only the few lines that are needed are worth decoding. */
function logText(ref: RunRef): string {
  try {
    return readFileSync(attemptFiles(ref).log, "latin1");
  } catch {
    return ""; // it has said nothing yet
  }
}
