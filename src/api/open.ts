import { existsSync } from "node:fs";
import { join } from "node:path";
import { findProject } from "../config/find.ts";
import type { RunEvent } from "../run/event.ts";
import { fold } from "../run/fold.ts";
import type { View } from "../run/fold.ts";
import { findRun } from "../store/find.ts";
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

/**
 * Opens the run that a user means; without a name the newest. One that this project does not know
 * is looked for in the cloud, and one that lives there is brought up to date.
 */
export async function openRun(context: Context, name?: string): Promise<OpenedRun> {
  const runs = projectRuns(context);
  const run = (await findRun(runs, name)) ?? (await adopted(context, runs, name));
  const opened = await openRunFolder(context, join(runs, run));
  if (!opened.target.capabilities.remote) return opened;
  const { refresh } = await import("./elsewhere.ts");
  const record = await refresh(context, opened.record, opened.target);
  return { ...opened, record, refs: refsOf(record) };
}

async function adopted(context: Context, runs: string, name: string | undefined): Promise<string> {
  const { adoptRun } = await import("./elsewhere.ts");
  return adoptRun(context, runs, name);
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
  const here = join(folder, "model");
  // A model in the cloud is there until it was pulled, which puts the whole folder here at once.
  const artifactPath = status?.artifact === undefined || existsSync(here) ? here : status.artifact;
  return fold({ run, plan, attempts, events, status, artifactPath });
}
