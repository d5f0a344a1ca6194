import { isUtf8 } from "node:buffer";
import { ArrayFramer, LineFramer } from "./frame.ts";
import type { Frame } from "./frame.ts";
import type { Layout } from "./layout.ts";
import { explain } from "./place.ts";
import type { Source } from "./source.ts";
import { findSyntaxProblem, unreadableText } from "./syntax.ts";
import { Unreadable } from "./unreadable.ts";

/** A row as JSON.parse gives it, and where it begins. */
export interface RawRow {
  readonly value: unknown;
  /** Counted from 1. */
  readonly row: number;
  readonly line: number;
}

/** The rows that ended in one piece of the file. */
export interface Batch {
  readonly rows: readonly RawRow[];
  /** Read so far, of `source.bytes`. */
  readonly bytesRead: number;
}

/**
 * Reads a file of rows, whatever its size, in the memory of its largest row.
 *
 * @throws MoxiError E_DATASET_ENCODING or E_DATASET_SYNTAX, with line and column
 */
export async function* readRows(source: Source, layout: Layout): AsyncGenerator<Batch> {
  const framer =
    layout.container === "array" ? new ArrayFramer(layout.start) : new LineFramer(layout.start);
  let row = 0;
  let bytesRead = layout.start;
  const parse = (frame: Frame): RawRow => {
    row += 1;
    return { value: parseRow(frame, layout), row, line: frame.line };
  };
  try {
    for await (const chunk of source.chunks(layout.start)) {
      bytesRead += chunk.length;
      yield { rows: framer.push(chunk).map(parse), bytesRead };
    }
    yield { rows: framer.end().map(parse), bytesRead };
  } catch (error) {
    throw error instanceof Unreadable ? await explain(source, error) : error;
  }
}

function parseRow({ bytes, offset }: Frame, { container }: Layout): unknown {
  if (!isUtf8(bytes)) throw new Unreadable(offset + firstBrokenByte(bytes), "this is not UTF-8");
  const text = bytes.toString();
  try {
    return JSON.parse(text);
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
