import { randomBytes } from "node:crypto";
import { lstatSync, statSync } from "node:fs";
import { mkdir, open, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { MoxiError, systemCode } from "../base/errors.ts";
import { readPlainFile, writeFileAtomic } from "../base/files.ts";
import { hashJson } from "../base/hash.ts";
import { isRecord } from "../base/json.ts";
import { attemptName } from "../run/attempt.ts";
import type { Attempt } from "../run/attempt.ts";
import { targetNames } from "../run/plan.ts";
import type { Plan, TargetName } from "../run/plan.ts";

/** What is kept of a run: the frozen plan, and one line for each attempt. */
export interface RunRecord {
  readonly run: string;
  /** Absolute; for a local run also the ML root. */
  readonly folder: string;
  readonly plan: Plan;
  readonly attempts: readonly Attempt[];
}

/** Where a project's runs lie. E_RUN_FOLDER when something that is no folder is in their place. */
export function runsFolder(project: string): string {
  const ours = join(project, ".moxi");
  const runs = join(ours, "runs");
  for (const folder of [ours, runs]) {
    if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() === true) continue;
    if (lstatSync(folder, { throwIfNoEntry: false }) === undefined) break;
    throw new MoxiError("E_RUN_FOLDER", `${folder} is not a folder, and Moxi keeps runs there`, {
      hint: `move it away: mv '${folder}' '${folder}.old'`,
      place: { file: folder },
    });
  }
  return runs;
}

/** The file that one process at a time holds (withLock) while it changes a run. */
export function runLock(folder: string): string {
  return join(folder, "lock");
}

/** The file that one process at a time holds (withLock) while it looks for a run and makes one. */
export function newRunLock(runs: string): string {
  return join(runs, ".new-run.lock");
}

/** The next attempt's line: its number, its name, and a nonce that nobody can guess. */
export function newAttempt(run: string, attempt: number, target: TargetName, now: Date): Attempt {
  return {
    attempt,
    name: attemptName(run, attempt),
    target,
    at: now.toISOString(),
    nonce: randomBytes(16).toString("hex"),
    submittedAt: null,
  };
}

/**
 * Makes a run's folder with its plan and its first attempt: all of it, durable, or nothing.
 * E_RUN_ID_TAKEN when there is such a run.
 */
export async function createRun(
  runs: string,
  run: string,
  plan: Plan,
  first: Attempt,
): Promise<RunRecord> {
  return recordRun(runs, run, plan, [first]);
}

/** Makes the folder of a run that was started elsewhere, as createRun does. */
export async function recordRun(
  runs: string,
  run: string,
  plan: Plan,
  attempts: readonly Attempt[],
): Promise<RunRecord> {
  await makeRunsFolder(runs);
  const folder = join(runs, run);
  const draft = join(runs, `.${run}.${randomBytes(4).toString("hex")}.tmp`);
  try {
    await mkdir(draft);
    await writeFileAtomic(join(draft, "plan.json"), `${JSON.stringify(plan, null, 2)}\n`);
    await writeFileAtomic(join(draft, "attempts.ndjson"), linesOf(attempts));
    await sync(draft);
    await rename(draft, folder);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    if (["EEXIST", "ENOTEMPTY", "ENOTDIR"].includes(systemCode(error) ?? "")) {
      throw new MoxiError("E_RUN_ID_TAKEN", `there is already a run ${run}`, {
        hint: "choose another --run-id, or leave it out",
        place: { file: folder },
      });
    }
    throw error;
  }
  await sync(runs);
  return { run, folder, plan, attempts };
}

/** Reads a run's folder. E_RUN_FOLDER when it is not one that Moxi made, or was damaged. */
export async function readRun(folder: string): Promise<RunRecord> {
  const plan = await readPlan(folder);
  return { run: basename(folder), folder, plan, attempts: await readAttempts(folder) };
}

/**
 * Adds the line of a new attempt, durably. Two processes that both want to resume a run call this
 * under the run's lock: E_RUN_STATE for the one that counted before the other wrote.
 */
export async function appendAttempt(record: RunRecord, attempt: Attempt): Promise<RunRecord> {
  const attempts = await readAttempts(record.folder);
  if (attempt.attempt !== attempts.length + 1) {
    const message = `attempt ${attempt.attempt} of ${record.run} exists already`;
    throw new MoxiError("E_RUN_STATE", message, { hint: `moxi watch ${record.run}` });
  }
  return writeAttempts(record, [...attempts, attempt]);
}

/** Whether the newest attempt may be unknown to its target: whoever submitted it did not live to say. */
export function isUnsubmitted({ attempts }: Pick<RunRecord, "attempts">): boolean {
  return attempts.at(-1)?.submittedAt === null;
}

/** Keeps that the target has accepted the newest attempt. Call it under the run's lock. */
export async function markSubmitted(record: RunRecord, now: Date): Promise<RunRecord> {
  const newest = record.attempts.at(-1)!;
  const accepted = { ...newest, submittedAt: now.toISOString() };
  return writeAttempts(record, [...record.attempts.slice(0, -1), accepted]);
}

/** Replaces the attempts of a run; whoever calls it holds the run's lock. */
export async function writeAttempts(
  record: RunRecord,
  attempts: readonly Attempt[],
): Promise<RunRecord> {
  // Written whole and renamed, so that a line which a crash tore does not stay between good ones.
  await writeFileAtomic(join(record.folder, "attempts.ndjson"), linesOf(attempts));
  await sync(record.folder);
  return { ...record, attempts };
}

function linesOf(attempts: readonly Attempt[]): string {
  return attempts.map((line) => `${JSON.stringify(line)}\n`).join("");
}

async function readPlan(folder: string): Promise<Plan> {
  const file = join(folder, "plan.json");
  const plan = parse(readPart(file), file);
  if (!isRecord(plan) || plan["formatVersion"] !== 1) {
    throw damaged(file, "it is no plan of a format that this version of Moxi knows");
  }
  // The hash is over all that the plan says, so that one check stands for every field.
  const { decisions, planHash, ...hashed } = plan;
  if (!Array.isArray(decisions) || planHash !== hashJson(hashed)) {
    throw damaged(file, "its content is not what its planHash says: it was changed");
  }
  return plan as unknown as Plan;
}

async function readAttempts(folder: string): Promise<Attempt[]> {
  const file = join(folder, "attempts.ndjson");
  const run = basename(folder);
  // What follows the last newline was torn by a crash before it was promised to anybody.
  const lines = readPart(file).split("\n").slice(0, -1);
  if (lines.length === 0) throw damaged(file, "it names no attempt");
  return lines.map((text, index) => {
    const value = parse(text, file, index + 1);
    if (isAttempt(value, run, index + 1)) return value;
    throw damaged(file, `it is not attempt ${index + 1} of ${run}`, index + 1);
  });
}

function isAttempt(value: unknown, run: string, number: number): value is Attempt {
  return (
    isRecord(value) &&
    value["attempt"] === number &&
    value["name"] === attemptName(run, number) &&
    targetNames.some((name) => name === value["target"]) &&
    typeof value["at"] === "string" &&
    !Number.isNaN(Date.parse(value["at"])) &&
    typeof value["nonce"] === "string" &&
    /^[0-9a-f]{32}$/.test(value["nonce"]) &&
    isTime(value["submittedAt"] ?? null)
  );
}

function isTime(value: unknown): boolean {
  return value === null || (typeof value === "string" && !Number.isNaN(Date.parse(value)));
}

function readPart(file: string): string {
  try {
    return readPlainFile(file);
  } catch (error) {
    const code = systemCode(error);
    if (code === "ENOENT" || code === "ENOTDIR" || code === "EISDIR") {
      throw damaged(file, "the file is missing");
    }
    if (code === "EINVAL") throw damaged(file, "it is a pipe or a device");
    throw error;
  }
}

function parse(text: string, file: string, line?: number): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const told = error instanceof Error ? error.message : String(error);
    const found = line ?? Number(/line (\d+)/.exec(told)?.[1] ?? 1);
    throw damaged(file, `it is no JSON: ${told}`, found);
  }
}

function damaged(file: string, why: string, line?: number): MoxiError {
  return new MoxiError("E_RUN_FOLDER", `${file} cannot be read as part of a run: ${why}`, {
    hint: `if you do not need this run, remove it: rm -r '${dirname(file)}'`,
    place: line === undefined ? { file } : { file, line },
  });
}

/** Makes the folder for runs, where none of them gets into the user's repository. */
export async function makeRunsFolder(runs: string): Promise<void> {
  await mkdir(runs, { recursive: true });
  await hideFromGit(dirname(runs));
}

/** Keeps `.moxi`, with the user's rows in it, out of the user's repository. */
export async function hideFromGit(folder: string): Promise<void> {
  try {
    await writeFile(join(folder, ".gitignore"), "*\n", { flag: "wx" });
  } catch (error) {
    if (systemCode(error) !== "EEXIST") throw error;
  }
}

/** Makes names in a folder durable. */
async function sync(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
