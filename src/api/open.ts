import { join } from "node:path";
import { findProject } from "../config/find.ts";
import type { RunEvent } from "../run/event.ts";
import { fold } from "../run/fold.ts";
import type { View } from "../run/fold.ts";
import { resolveRun } from "../store/find.ts";
import { readRun, runsFolder } from "../store/runs.ts";
import type { RunRecord } from "../store/runs.ts";
import { readPages } from "../targets/follow.ts";
import type { RunRef, Target } from "../targets/target.ts";
import type { Context } from "./context.ts";
import { openTarget } from "./targets.ts";

/** A recorded run, with the target that knows more of it. */
export interface OpenedRun {
  readonly record: RunRecord;
  readonly target: Target;
  /** One for each attempt, oldest first. */
  readonly refs: readonly RunRef[];
}

/** Where this project's runs lie. */
export function projectRuns(context: Context): string {
  return runsFolder(findProject(context.cwd).folder);
}

/** Opens the run that a user means; without a name the newest. */
export async function openRun(context: Context, name?: string): Promise<OpenedRun> {
  const runs = projectRuns(context);
  return openRunFolder(context, join(runs, await resolveRun(runs, name)));
}

export async function openRunFolder(context: Context, folder: string): Promise<OpenedRun> {
  const record = await readRun(folder);
  const target = await openTarget(context, record.plan.target, { plan: record.plan });
  return { record, target, refs: refsOf(record) };
}

export function refsOf({ run, folder, plan, attempts }: RunRecord): RunRef[] {
  return attempts.map((attempt) => ({ run, folder, plan, attempt }));
}

/** The run as it is now: everything said so far, and what the target answers. */
export async function viewOf({ record, target, refs }: OpenedRun): Promise<View> {
  const newest = refs.at(-1);
  // The status first: an end that comes in between is then among the events.
  const status = newest === undefined ? undefined : await target.status(newest);
  const events: RunEvent[] = [];
  for (const ref of refs) {
    for await (const page of readPages(target, ref)) events.push(...page.events);
  }
  return foldRun(record, events, status);
}

/** Folds what is known of a recorded run. */
export function foldRun(
  { run, folder, plan, attempts }: RunRecord,
  events: readonly RunEvent[],
  status: Parameters<typeof fold>[0]["status"],
): View {
  return fold({ run, plan, attempts, events, status, artifactPath: join(folder, "model") });
}
