import { existsSync } from "node:fs";
import { link, mkdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { randomBytes } from "node:crypto";
import { MoxiError, systemCode } from "../base/errors.ts";
import { printableName } from "../base/format.ts";
import { LineWriter } from "./write.ts";

/**
 * Writes files of rows that are not there yet: all of them whole, or none.
 *
 * @throws MoxiError E_USAGE if one is there already, or cannot be where it is asked for
 */
export async function writeNewFiles<T>(
  paths: readonly string[],
  write: (writers: readonly LineWriter[]) => Promise<T>,
): Promise<T> {
  refuseExisting(paths);
  const writers: LineWriter[] = [];
  try {
    for (const path of paths) {
      writers.push(await beginFile(path));
    }
    const result = await write(writers);
    for (const writer of writers) await writer.finish();
    await publish(writers, paths);
    return result;
  } finally {
    for (const writer of writers) {
      await writer.close();
      await rm(writer.path, { force: true });
    }
  }
}

/** @throws MoxiError E_USAGE if one of the files is there already */
export function refuseExisting(paths: readonly string[]): void {
  const taken = paths.find((path) => existsSync(path));
  if (taken !== undefined) throw isThere(taken);
}

function isThere(path: string): MoxiError {
  return new MoxiError("E_USAGE", `${printableName(path)} is there already`, {
    hint: "move it away, or name another place with --out",
    place: { file: path },
  });
}

/** What a system says of a path that cannot be. */
const noPlace = new Set(["EEXIST", "ENOTDIR", "ENOENT", "ENAMETOOLONG", "EISDIR"]);

/** Under another name, until it is whole. */
async function beginFile(path: string): Promise<LineWriter> {
  const temporary = `.${basename(path)}.${randomBytes(4).toString("hex")}.tmp`;
  try {
    await mkdir(dirname(path), { recursive: true });
    return await LineWriter.create(join(dirname(path), temporary));
  } catch (error) {
    if (!noPlace.has(systemCode(error) ?? "")) throw error;
    throw new MoxiError("E_USAGE", `no file can be written at ${printableName(path)}`, {
      hint: "name another place with --out",
      place: { file: path },
      cause: error,
    });
  }
}

/** Gives the files their names; what came there in the meantime is not overwritten. */
async function publish(writers: readonly LineWriter[], paths: readonly string[]): Promise<void> {
  const named: string[] = [];
  try {
    for (const [at, writer] of writers.entries()) {
      await giveName(writer.path, paths[at]!);
      named.push(paths[at]!);
    }
  } catch (error) {
    for (const path of named) await rm(path, { force: true });
    throw error;
  }
}

/** A link fails where the name is taken, and on file systems that have none. */
async function giveName(temporary: string, path: string): Promise<void> {
  try {
    await link(temporary, path);
  } catch (error) {
    if (systemCode(error) === "EEXIST") throw isThere(path);
    refuseExisting([path]);
    await rename(temporary, path);
  }
}

/** @throws MoxiError E_INTERRUPTED once the user wants no more of it */
export function goOn(signal: AbortSignal | undefined): void {
  if (signal?.aborted !== true) return;
  throw new MoxiError("E_INTERRUPTED", "interrupted: nothing was written", {
    hint: "run the same command again",
  });
}
