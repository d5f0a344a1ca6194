import { readdir } from "node:fs/promises";
import { isAbsolute, join, resolve } from "node:path";
import { MoxiError, systemCode } from "../base/errors.ts";
import { printable } from "../base/format.ts";
import type { LoadedConfig } from "../config/loaded.ts";
import { hasEnded } from "../run/fold.ts";
import type { Plan } from "../run/plan.ts";
import { toyModel } from "../run/recipe.ts";
import type { RunRecord } from "../store/runs.ts";
import { load } from "./config.ts";
import type { Context } from "./context.ts";
import { modelSources } from "./model-sources.ts";
import { openRun, viewOf } from "./open.ts";
import { runProgram } from "./program.ts";
import { preparePython } from "./python.ts";

export interface MergeOptions {
  /** A run's id, or what no other begins or ends with. Default: the newest run. */
  readonly run?: string | undefined;
  /** Where the model goes, from the current folder. Default: `merged/` in the run's folder. */
  readonly output?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface MergeResult {
  readonly formatVersion: 1;
  readonly run: string;
  /** Absolute. */
  readonly folder: string;
  readonly files: number;
  readonly bytes: number;
}

/**
 * Writes a run's adapter and its base model as one model that needs no adapter: whole or not at all.
 *
 * @throws MoxiError E_RUN_NOT_FOUND; E_RUN_STATE if there is no adapter, or its base has changed;
 * E_USAGE if the output folder has something in it; E_MERGE; what finding the base model throws
 */
export async function merge(context: Context, options: MergeOptions = {}): Promise<MergeResult> {
  const opened = await openRun(context, options.run);
  const { record } = opened;
  const { run, plan } = record;
  const view = await viewOf(opened);
  if (plan.recipe.method === "full") {
    throw new MoxiError("E_RUN_STATE", `${run} trained every weight: there is nothing to merge`, {
      hint: `its model is whole already: ${view.artifact?.path ?? `moxi show ${run}`}`,
    });
  }
  if (view.artifact === null) {
    throw new MoxiError("E_RUN_STATE", `${run} is ${view.status} and has no adapter yet`, {
      hint: hasEnded(view.status) ? `moxi resume ${run}` : `moxi watch ${run}`,
    });
  }
  if (!isAbsolute(view.artifact.path)) {
    throw new MoxiError("E_RUN_STATE", `the adapter of ${run} is not on this machine`, {
      hint: `moxi pull ${run} --what merged brings and merges it`,
    });
  }
  const artifact = view.artifact.path;
  const folder = await outputFolder(context, record, options.output);
  const loaded = await load(context);
  const base = await baseModel(context, loaded, record);
  const python = await preparePython(context, options.signal);

  const task = { type: "task", id: "merge" } as const;
  context.host.notify({ ...task, state: "started", text: `merging ${run} into its base model` });
  const args = ["moxi_train.merge", "--adapter", artifact, "--output", folder];
  const told = await runProgram(python, [...args, ...base], { loaded, signal: options.signal });
  if (!told.ok) {
    const { why, hint } = told;
    const code = why.includes("No space left on device") ? "E_DISK_FULL" : "E_MERGE";
    const message = `the model could not be merged: ${why}`;
    throw new MoxiError(code, message, hint === undefined ? {} : { hint });
  }
  context.host.notify({ ...task, state: "done", text: "merged" });
  const { files, bytes } = told.value as { files: number; bytes: number };
  return { formatVersion: 1, run, folder, files, bytes };
}

async function outputFolder(
  { cwd }: Context,
  record: RunRecord,
  output: string | undefined,
): Promise<string> {
  // Ours, and made anew: nobody keeps anything else there.
  if (output === undefined) return join(record.folder, "merged");
  const folder = resolve(cwd, output);
  let names: string[];
  try {
    names = await readdir(folder);
  } catch (error) {
    if (systemCode(error) === "ENOENT") return folder;
    throw new MoxiError("E_USAGE", `${printable(folder)} is no folder that can be written to`, {
      hint: "name a folder that is empty or not there yet",
      place: { file: folder },
      cause: error,
    });
  }
  if (names.length === 0) return folder;
  throw new MoxiError("E_USAGE", `${printable(folder)} has something in it`, {
    hint: "name a folder that is empty or not there yet",
    place: { file: folder },
  });
}

/** The base model that the adapter was trained on, as arguments of the program that merges. */
async function baseModel(
  context: Context,
  loaded: LoadedConfig,
  { run, folder, plan }: RunRecord,
): Promise<string[]> {
  const { model }: Plan["recipe"] = plan.recipe;
  if (model.id === toyModel) return ["--base", join(folder, "checkpoints", "base")];
  const { resolveModel } = await import("../model/resolve.ts");
  const revision = model.revision ?? undefined;
  const found = await resolveModel({ id: model.id, revision, ...modelSources(context, loaded) });
  if (found.fingerprint !== model.fingerprint) {
    throw new MoxiError("E_RUN_STATE", `the model folder ${model.id} has changed since ${run}`, {
      hint: "restore it: the adapter fits no other base model",
      place: { field: "model" },
    });
  }
  if (found.folder !== null) return ["--base", found.folder];
  return ["--base", model.id, ...(revision === undefined ? [] : ["--revision", revision])];
}
