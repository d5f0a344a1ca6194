import type { Layout } from "../read/layout.ts";
import { Buffers, packerOf } from "../read/parcel.ts";
import { readRows } from "../read/rows.ts";
import { stretchesOf } from "../read/stretch.ts";
import type { Source } from "../read/source.ts";
import type { PartResult } from "./part.ts";
import { checkHere, checkInWorkers } from "./pool.ts";
import { RowChecker } from "./row-checker.ts";
import type { CheckerSettings, LinesFile } from "./row-checker.ts";

export interface CheckRowsOptions {
  /** In threads: for files whose check takes longer than to start them. */
  readonly threads: boolean;
  /** Hears of each part of the file, in order. */
  readonly take: (part: PartResult) => void;
}

/**
 * Checks every row of a file by itself.
 *
 * @returns the names of the arrays that the rows stood in, if the file is an object of them
 * @throws MoxiError, Unreadable where the file cannot be read any further
 */
export async function checkRows(
  source: Source,
  layout: Layout,
  settings: CheckerSettings,
  { threads, take }: CheckRowsOptions,
): Promise<ReadonlySet<string>> {
  if (layout.container === "csv" || layout.container === "parquet") {
    const checker = new RowChecker(settings);
    for await (const { rows } of readRows(source, layout, { tolerant: true })) {
      if (rows.length > 0) take(checker.checkRows(rows));
    }
    return new Set();
  }
  const { descriptor } = source;
  if (threads && layout.container === "lines" && descriptor !== null) {
    await checkLines(source, { file: descriptor, start: layout.start }, settings, take);
    return new Set();
  }
  const buffers = new Buffers();
  const checking = threads
    ? checkInWorkers({ settings }, take, (bytes) => buffers.giveBack(bytes))
    : checkHere(settings, take, (bytes) => buffers.giveBack(bytes));
  try {
    const packer = packerOf(layout, buffers);
    for await (const chunk of source.chunks(layout.start)) {
      for (const parcel of packer.push(chunk)) await checking.push(parcel);
    }
    for (const parcel of packer.end()) await checking.push(parcel);
    await checking.end();
    return packer.sections;
  } catch (error) {
    // What stands before it is told too.
    await checking.end();
    throw error;
  } finally {
    await checking.close();
  }
}

/** Lets workers read the file: nothing is copied from one thread to another, and nobody waits for one. */
async function checkLines(
  source: Source,
  lines: LinesFile,
  settings: CheckerSettings,
  take: CheckRowsOptions["take"],
): Promise<void> {
  const ends: number[] = [];
  const checking = checkInWorkers({ settings, lines }, (part) => {
    source.noteRead(ends.shift()!);
    take(part);
  });
  try {
    for (const stretch of stretchesOf(lines.start, source.bytes)) {
      ends.push(stretch.to);
      await checking.push(stretch);
    }
    await checking.end();
  } finally {
    await checking.close();
  }
}
