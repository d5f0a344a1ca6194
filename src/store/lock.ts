import { randomBytes } from "node:crypto";
import { link, readFile, rename, rm, writeFile } from "node:fs/promises";
import { pid } from "node:process";
import { MoxiError, systemCode } from "../base/errors.ts";
import { isRecord } from "../base/json.ts";
import { isAlive, processStartTime } from "../base/process.ts";
import type { ProcessIdentity } from "../base/process.ts";

export interface LockOptions {
  readonly sleep: (milliseconds: number) => Promise<void>;
  /** How long to wait for another process that holds the lock. Default: a minute. */
  readonly patienceMs?: number;
}

const pauseMs = 50;

/**
 * Does some work that no second process may do at the same time. A holder that died, however it
 * died, holds nothing: the lock names its process. E_RUN_STATE when another one works for too long.
 */
export async function withLock<T>(
  path: string,
  options: LockOptions,
  work: () => Promise<T>,
): Promise<T> {
  const mine: ProcessIdentity = { pid, startTime: (await processStartTime(pid))! };
  // A link appears whole, with its content, or not at all.
  const draft = `${path}.${randomBytes(6).toString("hex")}`;
  await writeFile(draft, JSON.stringify(mine), { flag: "wx" });
  try {
    let waited = 0;
    while (!(await linked(draft, path))) {
      const holder = await lockHolder(path);
      if (holder === undefined) {
        await removeStale(path);
      } else if (waited >= (options.patienceMs ?? 60_000)) {
        throw new MoxiError("E_RUN_STATE", `another moxi (process ${holder.pid}) works here`, {
          hint: "wait until it is done, then run the same command again",
          place: { file: path },
        });
      } else {
        await options.sleep(pauseMs);
        waited += pauseMs;
      }
    }
  } finally {
    await rm(draft, { force: true });
  }
  try {
    return await work();
  } finally {
    await rm(path, { force: true });
  }
}

/** The living process that holds a lock. */
export async function lockHolder(path: string): Promise<ProcessIdentity | undefined> {
  const holder = await readIdentity(path);
  return holder !== undefined && (await isAlive(holder)) ? holder : undefined;
}

/** The process that a file names; undefined when the file is missing or names none. */
export async function readIdentity(path: string): Promise<ProcessIdentity | undefined> {
  let value: unknown;
  try {
    value = JSON.parse(await readFile(path, "utf8"));
  } catch (error) {
    if (systemCode(error) === "ENOENT" || error instanceof SyntaxError) return undefined;
    throw error;
  }
  return isIdentity(value) ? { pid: value.pid, startTime: value.startTime } : undefined;
}

export function isIdentity(value: unknown): value is ProcessIdentity {
  return (
    isRecord(value) &&
    Number.isSafeInteger(value["pid"]) &&
    Number(value["pid"]) > 0 &&
    typeof value["startTime"] === "string"
  );
}

async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (systemCode(error) === "EEXIST") return false;
    throw error;
  }
}

/** Takes a dead holder's lock away; gives back what a quicker process has put there meanwhile. */
async function removeStale(path: string): Promise<void> {
  const taken = `${path}.${randomBytes(6).toString("hex")}`;
  try {
    await rename(path, taken);
  } catch (error) {
    if (systemCode(error) === "ENOENT") return;
    throw error;
  }
  if ((await lockHolder(taken)) !== undefined) await linked(taken, path);
  await rm(taken, { force: true });
}
