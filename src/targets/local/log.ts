import { open } from "node:fs/promises";
import { systemCode } from "../../base/errors.ts";

/** Whole lines of a log, from one offset to the next, in bytes. */
export interface Page {
  readonly lines: readonly string[];
  readonly next: number;
}

/** More than any line is long, little enough for memory. */
const pageBytes = 1 << 20;

/**
 * Reads whole lines from an offset; the beginning of a line that is still being written waits for
 * its end, unless the writer is gone (`complete`). A missing log is an empty one.
 */
export async function readLog(path: string, offset: number, complete: boolean): Promise<Page> {
  const bytes = await readBytes(path, offset, pageBytes);
  const cut = bytes.lastIndexOf("\n") + 1;
  const isLast = bytes.length < pageBytes;
  const end = isLast ? (complete ? bytes.length : cut) : cut === 0 ? bytes.length : cut;
  const lines = bytes.subarray(0, end).toString("utf8").split("\n");
  return { lines: lines.filter((line) => line !== ""), next: offset + end };
}

/** The last whole lines of a log: at least the last one that a supervisor can write. */
export async function lastLines(path: string): Promise<readonly string[]> {
  const size = 64 * 1024;
  const bytes = await readBytes(path, -size, size);
  return bytes.toString("utf8").split("\n");
}

/** A negative offset counts from the end. */
async function readBytes(path: string, offset: number, most: number): Promise<Buffer> {
  try {
    const file = await open(path);
    try {
      const { size } = await file.stat();
      const start = offset < 0 ? Math.max(0, size + offset) : offset;
      const buffer = Buffer.alloc(Math.max(0, Math.min(most, size - start)));
      const { bytesRead } = await file.read(buffer, 0, buffer.length, start);
      return buffer.subarray(0, bytesRead);
    } finally {
      await file.close();
    }
  } catch (error) {
    if (systemCode(error) === "ENOENT") return Buffer.alloc(0);
    throw error;
  }
}
