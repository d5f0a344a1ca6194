import { mkdir, readdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { MoxiError, systemCode } from "../base/errors.ts";
import { writeFileAtomic } from "../base/files.ts";
import { printable } from "../base/format.ts";
import type { RunEvent } from "../run/event.ts";
import { hasEnded } from "../run/fold.ts";
import type { View } from "../run/fold.ts";
import { metricsTable } from "../run/metrics.ts";
import { toyModel } from "../run/recipe.ts";
import { withLock } from "../store/lock.ts";
import { readPages } from "../targets/follow.ts";
import type { Amount, Fetched, Part } from "../targets/target.ts";
import type { Context } from "./context.ts";
import { merge } from "./merge.ts";
import { foldRun, openRun, viewOf } from "./open.ts";
import type { OpenedRun } from "./open.ts";
import type { Pullable } from "./pullable.ts";

export interface PullOptions {
  /** A run's id, or what no other begins or ends with. Default: the newest run. */
  readonly run?: string | undefined;
  /** Default: what the run has made, its adapter or its model. */
  readonly what?: Pullable | undefined;
  /** Where it goes, from the current folder; it must not be there yet, or be empty. Default: in the run's folder. */
  readonly output?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface PullResult {
  readonly formatVersion: 1;
  readonly run: string;
  readonly what: Pullable | "model";
  /** Absolute. */
  readonly folder: string;
  readonly files: number;
  readonly bytes: number;
  /** What was here already: all of it for a run of this machine. */
  readonly resumedBytes: number;
}

/**
 * Brings what a run has made to this machine, checked; what is here is not fetched again, and a
 * pull that was broken off goes on.
 *
 * @throws MoxiError E_RUN_NOT_FOUND; E_RUN_STATE where there is no such thing; E_USAGE for an
 * output folder that has something in it; E_S3_CHANGED where it is not what the run told of; what
 * storage and merge throw
 */
export async function pull(context: Context, options: PullOptions = {}): Promise<PullResult> {
  const opened = await openRun(context, options.run);
  const { run, folder, plan } = opened.record;
  const output = await outputFolder(context, options.output);
  const { what } = options;
  const done = (told: PullResult["what"], { folder: at, files, bytes, resumedBytes }: Fetched) =>
    ({ formatVersion: 1, run, what: told, folder: at, files, bytes, resumedBytes }) as const;
  if (what === "metrics")
    return done(what, await metrics(opened, output ?? join(folder, "metrics")));

  const newest = opened.refs.at(-1)!;
  const fetch = (part: Part, to: string, told?: Amount) =>
    withLock(join(folder, "pull.lock"), context.clock, () =>
      opened.target.fetch(newest, part, to, told),
    );
  if (what === "checkpoint")
    return done(what, await fetch(what, output ?? join(folder, "checkpoints")));

  const kind = plan.recipe.method === "full" ? "model" : "adapter";
  if (what !== undefined && kind === "model") {
    throw new MoxiError("E_RUN_STATE", `${run} trained every weight: there is no adapter`, {
      hint: `its model is whole: moxi pull ${run}`,
    });
  }
  const artifact = requireArtifact(await viewOf(opened));
  const home = join(folder, "model");
  const fetched = await fetch("artifact", what === "merged" ? home : (output ?? home), artifact);
  if (what !== "merged") return done(kind, fetched);

  if (plan.recipe.model.id === toyModel) await fetch("base", join(folder, "checkpoints", "base"));
  const { signal } = options;
  const merged = await merge(context, { run, output: options.output, signal });
  return done(what, { ...merged, resumedBytes: 0 });
}

function requireArtifact({
  run,
  status,
  artifact,
  checkpoint,
}: View): NonNullable<View["artifact"]> {
  if (artifact !== null) return artifact;
  const instead = checkpoint === null ? "" : `; its checkpoint: moxi pull ${run} --what checkpoint`;
  throw new MoxiError("E_RUN_STATE", `${run} is ${status} and has no model`, {
    hint: `${hasEnded(status) ? `moxi resume ${run}` : `moxi watch ${run}`}${instead}`,
  });
}

/** The curve as a table, and every event: known at any time of a run, wherever it is. */
async function metrics({ record, target, refs }: OpenedRun, folder: string): Promise<Fetched> {
  const events: RunEvent[] = [];
  for (const ref of refs) {
    for await (const page of readPages(target, ref)) events.push(...page.events);
  }
  const files = {
    "metrics.csv": metricsTable(foldRun(record, events, undefined)),
    "events.ndjson": events.map((event) => `${JSON.stringify(event)}\n`).join(""),
  };
  await mkdir(folder, { recursive: true });
  for (const [name, text] of Object.entries(files)) await writeFileAtomic(join(folder, name), text);
  const bytes = Object.values(files).reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  return { folder, files: 2, bytes, resumedBytes: 0 };
}

/** A folder of the user's is never written over; an empty one is taken away to make room. */
async function outputFolder({ cwd }: Context, output: string | undefined) {
  if (output === undefined) return undefined;
  const folder = resolve(cwd, output);
  try {
    if ((await readdir(folder)).length === 0) return folder;
  } catch (error) {
    if (systemCode(error) === "ENOENT") return folder;
    if (systemCode(error) !== "ENOTDIR") throw error;
  }
  throw new MoxiError("E_USAGE", `${printable(folder)} has something in it`, {
    hint: "name a folder that is empty or not there yet",
    place: { file: folder },
  });
}
