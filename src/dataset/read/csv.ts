import { isUtf8 } from "node:buffer";
import { Readable } from "node:stream";
import { CsvError, parse } from "csv-parse";
import type { Info } from "csv-parse";
import { parse as parseAll } from "csv-parse/sync";
import { quoted } from "../problem.ts";
import type { RawRow } from "./rows.ts";
import type { Source } from "./source.ts";
import { Unreadable } from "./unreadable.ts";

const delimiters = [",", "\t", ";", "|"] as const;
const maxRecordBytes = 64 * 1024 * 1024;
const votes = 200;

/** What both readings of a file share. Cells stay text: `NA`, `007` and `1e3` mean what they say. */
const shared = { skip_empty_lines: true, relax_column_count: true, bom: false } as const;

/**
 * The delimiter by which most of the first rows have as many cells as the first, and more than one;
 * a table of one column has the comma. Undefined if the text is no table.
 *
 * @param cut the head ends inside the file, perhaps inside a row.
 */
export function voteDelimiter(head: Buffer, cut: boolean): string | undefined {
  let best: { delimiter: string; share: number; cells: number } | undefined;
  for (const delimiter of delimiters) {
    const records = headRecords(head, delimiter, cut);
    const cells = records[0]?.length ?? 0;
    if (cells < 2) continue;
    const share = records.filter((record) => record.length === cells).length / records.length;
    const better = best === undefined || share > best.share + 0.1;
    if (better || (share > best!.share - 0.1 && cells > best!.cells)) {
      best = { delimiter, share, cells };
    }
  }
  if (best !== undefined && best.share >= 0.5) return best.delimiter;
  // One column: a name, then its texts.
  const [first, ...rest] = headRecords(head, ",", cut);
  const named = first?.length === 1 && /^[\w .-]{1,60}$/.test(first[0]!.trim());
  return named && rest.length > 0 && rest.every((record) => record.length === 1) ? "," : undefined;
}

function headRecords(head: Buffer, delimiter: string, cut: boolean): string[][] {
  // A quote may be open where the head ends: without the last lines the rest still votes.
  for (let end = head.length, tries = 0; tries < 20; tries++) {
    try {
      const text = head.subarray(0, end).toString();
      const records = parseAll(text, { ...shared, delimiter, to: votes }) as string[][];
      return cut && records.length < votes ? records.slice(0, -1) : records;
    } catch {
      end = head.lastIndexOf(0x0a, end - 1);
      if (end <= 0) return [];
    }
  }
  return [];
}

/** The first line's names, as the columns are called. */
function namesOf(record: readonly string[], offset: number): string[] {
  const names = record.map((name) => name.trim());
  const twice = names.find((name, index) => name !== "" && names.indexOf(name) !== index);
  if (twice === undefined) return names;
  throw new Unreadable(offset, `two columns are called ${quoted(twice)}`);
}

/** Cells of these columns may hold JSON: a table has no other way to write a conversation. */
const jsonColumns = new Set(["messages", "conversations", "conversation", "tools"]);

/**
 * The rows of a table whose first line names the columns.
 *
 * @throws Unreadable for what makes the rest of the file unreadable
 */
export async function* readCsv(
  source: Source,
  start: number,
  delimiter: string,
): AsyncGenerator<RawRow[]> {
  const faults: RawRow[] = [];
  const parser = parse({
    ...shared,
    delimiter,
    info: true,
    skip_records_with_error: true,
    max_record_size: maxRecordBytes,
    on_skip(error) {
      if (error === undefined) return undefined;
      if (isFatal(error)) throw error;
      const line = Number((error as CsvError & { lines?: number }).lines ?? 0);
      faults.push({ value: undefined, row: 0, line, problem: { message: explained(error) } });
      return undefined;
    },
  });
  const stream = Readable.from(soundText(source, start)).on("error", (error) =>
    parser.destroy(error),
  );
  stream.pipe(parser);
  let names: string[] | undefined;
  let row = 0;
  let batch: RawRow[] = [];
  let lines = 0;
  try {
    for await (const { record, info } of parser as AsyncIterable<{
      record: string[];
      info: Info;
    }>) {
      const span = 1 + record.reduce((sum, cell) => sum + breaks(cell), 0);
      const line = Math.max(lines + 1, info.lines - span + 1);
      lines = info.lines;
      if (names === undefined) {
        names = namesOf(record, start);
        continue;
      }
      // The parser is ahead of this loop: a fault goes before the first record that stands behind it.
      while (faults.length > 0 && faults[0]!.line < line) {
        batch.push({ ...faults.shift()!, row: (row += 1) });
      }
      row += 1;
      batch.push(rowOf(names, record, row, line));
      if (batch.length >= 500) {
        yield batch;
        batch = [];
      }
    }
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    for (const fault of faults) batch.push({ ...fault, row: (row += 1) });
    yield batch;
    throw new Unreadable(-1, explained(error), undefined, (error as { lines?: number }).lines);
  } finally {
    stream.destroy();
  }
  for (const fault of faults) batch.push({ ...fault, row: (row += 1) });
  yield batch;
}

function rowOf(names: readonly string[], record: readonly string[], row: number, line: number) {
  if (record.length !== names.length) {
    const message = `${record.length} cells where the first line names ${names.length} columns`;
    return { value: undefined, row, line, problem: { message } };
  }
  const value = Object.create(null) as Record<string, unknown>;
  for (const [index, name] of names.entries()) {
    if (name !== "") value[name] = cellOf(name, record[index]!);
  }
  return { value, row, line };
}

function cellOf(name: string, cell: string): unknown {
  if (!jsonColumns.has(name) || !/^\s*\[/.test(cell)) return cell;
  try {
    return JSON.parse(cell);
  } catch {
    return cell;
  }
}

/** Refuses what is not UTF-8, chunk by chunk; a character may lie across two of them. */
async function* soundText(source: Source, start: number): AsyncGenerator<Buffer> {
  let offset = start;
  let carry = Buffer.alloc(0);
  for await (const chunk of source.chunks(start)) {
    const bytes = Buffer.concat([carry, chunk]);
    const end = wholeCharacters(bytes);
    const sound = bytes.subarray(0, end);
    const nul = sound.indexOf(0);
    if (nul !== -1) throw new Unreadable(offset + nul, "a NUL byte");
    if (!isUtf8(sound)) throw new Unreadable(offset + firstBroken(sound), "this is not UTF-8");
    carry = bytes.subarray(end);
    offset += end;
    yield sound;
  }
  if (carry.length > 0) throw new Unreadable(offset, "this is not UTF-8");
}

/** Where the last character that may go on in the next chunk begins. */
function wholeCharacters(bytes: Buffer): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back]!;
    if (byte < 0x80) return bytes.length;
    if (byte >= 0xc0) {
      const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
      return length > back ? bytes.length - back : bytes.length;
    }
  }
  return bytes.length;
}

function firstBroken(bytes: Buffer): number {
  let [low, high] = [0, bytes.length];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (isUtf8(bytes.subarray(0, wholeCharacters(bytes.subarray(0, middle))))) low = middle;
    else high = middle;
  }
  return wholeCharacters(bytes.subarray(0, low));
}

function breaks(cell: string): number {
  let count = 0;
  for (let at = cell.indexOf("\n"); at !== -1; at = cell.indexOf("\n", at + 1)) count += 1;
  return count;
}

function isFatal(error: CsvError): boolean {
  return error.code === "CSV_QUOTE_NOT_CLOSED" || error.code === "CSV_MAX_RECORD_SIZE";
}

function explained(error: CsvError): string {
  switch (error.code) {
    case "CSV_QUOTE_NOT_CLOSED":
      return "a quote is opened and never closed";
    case "CSV_MAX_RECORD_SIZE":
      return "a row of more than 64 MiB: perhaps a quote before it is never closed";
    case "CSV_INVALID_CLOSING_QUOTE":
      return "something follows a closing quote: a quote inside a cell is written twice";
    case "INVALID_OPENING_QUOTE":
      return "a quote inside a cell: put the whole cell in quotes, and the quote twice";
    default:
      return "the cells of this row cannot be told apart";
  }
}
