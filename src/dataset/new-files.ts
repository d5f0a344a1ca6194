import { existsSync } from "node:fs";
import { mkdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { randomBytes } from "node:crypto";
import { MoxiError } from "../base/errors.ts";
import { printableName } from "../base/format.ts";
import { LineWriter } from "./write.ts";

/**
 * Writes files of rows that are not there yet: all of them whole, or none.
 *
 * @throws MoxiError E_USAGE if one is there already
 */
export async function writeNewFiles<T>(
  paths: readonly string[],
  write: (writers: readonly LineWriter[]) => Promise<T>,
): Promise<T> {
  const taken = paths.find((path) => existsSync(path));
  if (taken !== undefined) {
    throw new MoxiError("E_USAGE", `${printableName(taken)} is there already`, {
      hint: "move it away, or name another place with --out",
      place: { file: taken },
    });
  }
  const writers: LineWriter[] = [];
  try {
    for (const path of paths) {
      await mkdir(dirname(path), { recursive: true });
      const temporary = `.${basename(path)}.${randomBytes(4).toString("hex")}.tmp`;
      writers.push(await LineWriter.create(join(dirname(path), temporary)));
    }
    const result = await write(writers);
    for (const writer of writers) await writer.finish();
    for (const [at, writer] of writers.entries()) await rename(writer.path, paths[at]!);
    return result;
  } finally {
    for (const writer of writers) {
      await writer.close();
      await rm(writer.path, { force: true });
    }
  }
}
