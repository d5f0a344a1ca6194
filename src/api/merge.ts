import { readdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { MoxiError, systemCode } from "../base/errors.ts";
import { printable } from "../base/format.ts";
import { isRecord } from "../base/json.ts";
import type { LoadedConfig } from "../config/loaded.ts";
import { hasEnded } from "../run/fold.ts";
import type { Plan } from "../run/plan.ts";
import { toyModel } from "../run/recipe.ts";
import type { RunRecord } from "../store/runs.ts";
import { load } from "./config.ts";
import type { Context } from "./context.ts";
import { openRun, viewOf } from "./open.ts";
import { preparePython } from "./python.ts";
import { hubEnvironment } from "./targets.ts";
import { findTrainer } from "./trainer.ts";

export interface MergeOptions {
  /** A run's id, or a part of it that is unique. Default: the newest run. */
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
  const { record, refs } = opened;
  const { run, plan } = record;
  const view = await viewOf(opened);
  const { artifact } = await opened.target.outputs(refs.at(-1)!);
  if (plan.recipe.method === "full") {
    throw new MoxiError("E_RUN_STATE", `${run} trained every weight: there is nothing to merge`, {
      hint: `its model is whole already: ${artifact}`,
    });
  }
  if (view.artifact === null) {
    throw new MoxiError("E_RUN_STATE", `${run} is ${view.status} and has no adapter yet`, {
      hint: hasEnded(view.status) ? `moxi resume ${run}` : `moxi watch ${run}`,
    });
  }
  const folder = await outputFolder(context, record, options.output);
  const loaded = await load(context);
  const base = await baseModel(context, loaded, record);
  const python = await preparePython(context, options.signal);

  const task = { type: "task", id: "merge" } as const;
  context.host.notify({ ...task, state: "started", text: `merging ${run} into its base model` });
  const { execute } = await import("../python/execute.ts");
  const trainer = findTrainer().folder;
  const args = ["-m", "moxi_train.merge", "--adapter", artifact, "--output", folder];
  const done = await execute(python, [...args, ...base], {
    env: { ...hubEnvironment(loaded), PYTHONPATH: trainer, PYTHONHOME: undefined },
    cwd: trainer,
    signal: options.signal,
  });
  const told = lastJson(done.stdout);
  if (!done.ok || typeof told["files"] !== "number" || typeof told["bytes"] !== "number") {
    throw failed(told, done.stderr);
  }
  context.host.notify({ ...task, state: "done", text: "merged" });
  return { formatVersion: 1, run, folder, files: told["files"], bytes: told["bytes"] };
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
  { home, fetch }: Context,
  { folder: baseFolder, secrets, hubUrl, env }: LoadedConfig,
  { run, folder, plan }: RunRecord,
): Promise<string[]> {
  const { model }: Plan["recipe"] = plan.recipe;
  if (model.id === toyModel) return ["--base", join(folder, "checkpoints", "base")];
  const { resolveModel } = await import("../model/resolve.ts");
  const revision = model.revision ?? undefined;
  const token = secrets.huggingFaceToken;
  const { id } = model;
  const where = { id, revision, baseFolder, token, hubUrl, fetch, home, env };
  const found = await resolveModel(where);
  if (found.fingerprint !== model.fingerprint) {
    throw new MoxiError("E_RUN_STATE", `the model folder ${model.id} has changed since ${run}`, {
      hint: "restore it: the adapter fits no other base model",
      place: { field: "model" },
    });
  }
  if (found.folder !== null) return ["--base", found.folder];
  return ["--base", model.id, ...(revision === undefined ? [] : ["--revision", revision])];
}

function lastJson(stdout: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(stdout.trim().split("\n").at(-1) ?? "");
    return isRecord(value) ? value : {};
  } catch {
    return {};
  }
}

function failed(told: Record<string, unknown>, stderr: string): MoxiError {
  const error = isRecord(told["error"]) ? told["error"] : {};
  const said = stderr.trim().split("\n").at(-1) || "it was ended from outside";
  const why = typeof error["message"] === "string" ? error["message"] : said;
  const code = why.includes("No space left on device") ? "E_DISK_FULL" : "E_MERGE";
  const hint = typeof error["hint"] === "string" ? error["hint"] : undefined;
  return new MoxiError(
    code,
    `the model could not be merged: ${printable(why)}`,
    hint === undefined ? {} : { hint },
  );
}
