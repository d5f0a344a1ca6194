import { randomBytes } from "node:crypto";
import { closeSync, constants, fstatSync, openSync, readFileSync } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

/**
 * Writes a whole file or nothing: a temporary name in the same folder, fsync, rename.
 * A reader sees the old content or the new, and a full disk leaves the old.
 */
export async function writeFileAtomic(path: string, data: string | Uint8Array): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(4).toString("hex")}.tmp`);
  try {
    const file = await open(temporary, "wx");
    try {
      await file.writeFile(data);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/**
 * Reads a whole text file, in UTF-8. A pipe or a device is refused (EINVAL): reading it would wait
 * for ever, or never end. At once: handing small files to another thread takes longer.
 */
export function readPlainFile(path: string): string {
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stats = fstatSync(file);
    if (!stats.isFile() && !stats.isDirectory()) {
      throw Object.assign(new Error("it is a pipe or a device, not a file"), { code: "EINVAL" });
    }
    return readFileSync(file, "utf8");
  } finally {
    closeSync(file);
  }
}
