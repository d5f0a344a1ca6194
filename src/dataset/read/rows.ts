import { isUtf8 } from "node:buffer";
import { readCsv } from "./csv.ts";
import { ObjectFramer } from "./frame-object.ts";
import { ArrayFramer, LineFramer } from "./frame.ts";
import type { Frame, Framer } from "./frame.ts";
import type { Layout } from "./layout.ts";
import { readParquet } from "./parquet.ts";
import { explain } from "./place.ts";
import { refuseExcess } from "./scan.ts";
import type { Source } from "./source.ts";
import { findSyntaxProblem, unreadableText } from "./syntax.ts";
import { Unreadable } from "./unreadable.ts";

/** A row as JSON.parse gives it, and where it begins. */
export interface RawRow {
  /** Undefined where `problem` says why. */
  readonly value: unknown;
  /** Of JSON, as it stands in the file. */
  readonly text?: string;
  /** Counted from 1. */
  readonly row: number;
  /** Of a Parquet file, the row. */
  readonly line: number;
  /** The row cannot be read, and the ones behind it can. */
  readonly problem?: RowFault;
  /** The array that it stands in, where the file is an object of several. */
  readonly section?: string;
}

export interface RowFault {
  readonly message: string;
  /** In bytes from the start of the file, where it is known. */
  readonly offset?: number;
  readonly hint?: string;
}

/** The rows that ended in one piece of the file. */
export interface Batch {
  readonly rows: readonly RawRow[];
  /** Read so far, of `source.bytes`. */
  readonly bytesRead: number;
}

export interface ReadOptions {
  /** Go on behind a row that cannot be read, and give it with its `problem`; else it is an error. */
  readonly tolerant?: boolean;
  /** Rows that are wanted, counted from 1; the others come without a value, and JSON faster. */
  readonly only?: (row: number) => boolean;
}

/**
 * Reads a file of rows, whatever its size, in the memory of its largest row.
 *
 * @throws MoxiError E_DATASET_ENCODING, E_DATASET_SYNTAX (with line and column), E_DATASET_ARCHIVE
 */
export async function* readRows(
  source: Source,
  layout: Layout,
  { tolerant = false, only }: ReadOptions = {},
): AsyncGenerator<Batch> {
  try {
    if (layout.container === "csv" || layout.container === "parquet") {
      const batches =
        layout.container === "csv"
          ? readCsv(source, layout.start, layout.delimiter ?? ",")
          : readParquet(source);
      for await (const rows of batches) {
        const broken = tolerant ? undefined : rows.find((row) => row.problem !== undefined);
        if (broken !== undefined) {
          throw new Unreadable(-1, broken.problem!.message, undefined, broken.line);
        }
        yield { rows, bytesRead: source.bytesRead };
      }
      return;
    }
    let row = 0;
    const parse = (frame: Frame): RawRow => {
      row += 1;
      const place = { row, line: frame.line, ...(frame.section && { section: frame.section }) };
      if (only !== undefined && !only(row)) return { value: undefined, ...place };
      try {
        return { ...parseFrame(frame, layout), ...place };
      } catch (error) {
        if (!tolerant || !(error instanceof Unreadable)) throw error;
        const { message, offset, hint } = error;
        return { value: undefined, ...place, problem: { message, offset, ...(hint && { hint }) } };
      }
    };
    const framer = framerOf(layout);
    for await (const chunk of source.chunks(layout.start)) {
      yield { rows: framer.push(chunk).map(parse), bytesRead: source.bytesRead };
    }
    yield { rows: framer.end().map(parse), bytesRead: source.bytesRead };
  } catch (error) {
    throw error instanceof Unreadable ? await explain(source, error) : error;
  }
}

/** Cuts the file into rows, by its layout. */
export function framerOf({ container, start }: Layout): Framer {
  if (container === "array") return new ArrayFramer(start);
  return container === "object" ? new ObjectFramer(start) : new LineFramer(start);
}

/** A row's value, and its text. @throws Unreadable */
export function parseFrame(
  { bytes, offset }: Frame,
  { container }: Pick<Layout, "container">,
): { readonly value: unknown; readonly text: string } {
  if (!isUtf8(bytes)) throw new Unreadable(offset + firstBrokenByte(bytes), "this is not UTF-8");
  refuseExcess(bytes, offset);
  const text = bytes.toString();
  try {
    return { value: JSON.parse(text), text };
  } catch (error) {
    const problem = findSyntaxProblem(text);
    if (problem === undefined) throw error;
    const hint =
      container === "lines" && problem.unfinished
        ? "each line must hold one whole JSON object; objects over several lines belong in one array: [{...}, {...}]"
        : undefined;
    throw unreadableText(offset, text, problem, hint);
  }
}

/** Where decoding first had to put U+FFFD for something that is not U+FFFD. */
function firstBrokenByte(bytes: Buffer): number {
  const text = bytes.toString();
  let at = 0;
  for (let from = 0; ; from += 1) {
    const next = text.indexOf("\ufffd", from);
    if (next === -1) return at;
    at += Buffer.byteLength(text.slice(from, next));
    if (!isReplacement(bytes, at)) return at;
    at += 3;
    from = next;
  }
}

function isReplacement(bytes: Buffer, at: number): boolean {
  return bytes[at] === 0xef && bytes[at + 1] === 0xbf && bytes[at + 2] === 0xbd;
}
