import { appendFileSync } from "node:fs";
import { open, readFile } from "node:fs/promises";
import type { Stretch, Sums } from "./blocks.ts";
import { inLanes } from "./lanes.ts";
import type { Mover } from "./mover.ts";

// What has come of a large object, beside the file that it is gathered in: first which object that is
// and how it is cut, then a line for each block.

/** What a journal is valid for. */
export interface Gathered {
  readonly etag: string;
  readonly size: number;
  readonly blockBytes: number;
}

/** The journal of what is gathered in a file. */
export function journalOf(partial: string): string {
  return `${partial}.done`;
}

/** Notes blocks that follow each other, from `index` on. */
export function noteBlocks(partial: string, index: number, sums: readonly Sums[]): void {
  if (sums.length === 0) return;
  const lines = sums.map(({ crc }, count) => `${JSON.stringify([index + count, crc])}\n`);
  appendFileSync(journalOf(partial), lines.join(""));
}

/**
 * The blocks that an earlier download has left, by their sums; where there are none, file and journal
 * begin anew. Each is read again: after a power cut the journal may know of bytes that the disk has lost.
 */
export async function openGathered(
  crew: Mover,
  from: Gathered & { readonly partial: string; readonly crc64: boolean },
  blocks: readonly Stretch[],
): Promise<Map<number, Sums>> {
  const { partial, etag, size, blockBytes, crc64 } = from;
  const journal = journalOf(partial);
  const title = JSON.stringify({ etag, size, blockBytes });
  const [first, ...lines] = (await readFile(journal, "utf8").catch(() => "")).split("\n");
  const sums = new Map<number, Sums>();
  if (first === title) {
    await inLanes(lines, 2, async (line) => {
      const [index, crc] = parsed(line);
      const block = blocks[index];
      if (block === undefined) return;
      const { offset, length } = block;
      const task = { kind: "check", file: partial, offset, length, crc64 } as const;
      const checked = await crew.run(task, () => {}).catch(() => undefined);
      if (checked?.sums[0]!.crc === crc) sums.set(index, checked.sums[0]!);
    });
  }
  if (sums.size > 0) return sums;
  const file = await open(partial, "w");
  try {
    await file.truncate(size);
  } finally {
    await file.close();
  }
  const begun = await open(journal, "w");
  try {
    await begun.writeFile(`${title}\n`);
  } finally {
    await begun.close();
  }
  return sums;
}

/** A line that a kill has cut short counts for nothing. */
function parsed(line: string): readonly [index: number, crc: number] {
  try {
    const value: unknown = JSON.parse(line);
    if (Array.isArray(value) && value.length === 2) return [Number(value[0]), Number(value[1])];
  } catch {
    // Not whole.
  }
  return [-1, -1];
}
