import { appendFileSync, closeSync, constants, openSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import type { Sums } from "./blocks.ts";
import { unlessGone } from "./gone.ts";

// What has come of a large object, beside the file that it is gathered in: which object that is and how
// it is cut, then a line for each block. Lines begin with their end, so that one that a kill has cut
// short spoils no other.

/** What a journal is valid for. */
export interface Cut {
  readonly etag: string;
  readonly size: number;
  readonly blockBytes: number;
}

const titleOf = ({ etag, size, blockBytes }: Cut) => JSON.stringify({ etag, size, blockBytes });

/** The journal of what is gathered in a file. */
export function journalOf(partial: string): string {
  return `${partial}.done`;
}

/** The CRC-32 of each block that a journal tells of, by its index; undefined where there is no valid one. */
export async function readJournal(
  partial: string,
  cut: Cut,
): Promise<ReadonlyMap<number, number> | undefined> {
  const text = await readFile(journalOf(partial), "utf8").catch(() => "");
  const [title, ...lines] = text.split("\n");
  return title === titleOf(cut) ? new Map(lines.flatMap(parsed)) : undefined;
}

export function beginJournal(partial: string, cut: Cut): Promise<void> {
  return writeFile(journalOf(partial), titleOf(cut));
}

/**
 * Notes blocks that follow each other.
 *
 * @throws E_FILE_CHANGED where the journal is not there
 */
export function noteBlocks(partial: string, first: number, sums: readonly Sums[]): void {
  const lines = sums.map(({ crc }, count) => `\n${JSON.stringify([first + count, crc])}`);
  const flags = constants.O_WRONLY | constants.O_APPEND;
  const journal = unlessGone(partial, () => openSync(journalOf(partial), flags));
  try {
    appendFileSync(journal, lines.join(""));
  } finally {
    closeSync(journal);
  }
}

/** Nothing where a line is not whole. */
function parsed(line: string): [index: number, crc: number][] {
  try {
    const value: unknown = JSON.parse(line);
    if (!Array.isArray(value) || value.length !== 2) return [];
    const [index, crc] = value.map(Number) as [number, number];
    return crc >= 0 ? [[index, crc]] : [];
  } catch {
    return [];
  }
}
