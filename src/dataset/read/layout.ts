import { MoxiError } from "../../base/errors.ts";
import { printable } from "../../base/format.ts";
import { isRecord } from "../../base/json.ts";
import { compressionOf } from "./archive.ts";
import { voteDelimiter } from "./csv.ts";
import { explain } from "./place.ts";
import { rowFields } from "./row-fields.ts";
import { ValueScanner } from "./scan.ts";
import { emptyDataset } from "./source.ts";
import type { Source } from "./source.ts";
import { Unreadable } from "./unreadable.ts";

/** How the rows stand in the file. */
export interface Layout {
  readonly container: "array" | "lines" | "object" | "csv" | "parquet";
  /** Where the text begins, in bytes: after a byte order mark. */
  readonly start: number;
  /** Of a CSV file. */
  readonly delimiter?: string;
}

export const containerNames: Readonly<Record<Layout["container"], string>> = {
  array: "a JSON array",
  lines: "JSON Lines",
  object: "a JSON object of arrays",
  csv: "CSV",
  parquet: "Parquet",
};

/** So much of a file is looked at to tell what it is. */
const headBytes = 256 * 1024;

/** What people name by mistake, by the first bytes of the file. */
const strangers: readonly (readonly [RegExp, string, string])[] = [
  [/^PK\W\W/, "a zip archive (or an Excel file)", "unpack it, or export it as CSV"],
  [/^BZh/, "a bzip2 archive", "unpack it, or pack it with gzip or zstd"],
  [/^\xfd7zXZ\0/, "an xz archive", "unpack it, or pack it with gzip or zstd"],
  [/^7z\xbc\xaf/, "a 7-Zip archive", "unpack it, or pack it with gzip or zstd"],
  [/^ARROW1/, "an Arrow file", "write it as Parquet, e.g. dataset.to_parquet(FILE)"],
  [/^\xff\xff\xff\xff/, "an Arrow stream", "write it as Parquet, e.g. dataset.to_parquet(FILE)"],
  [/^SQLite format 3/, "an SQLite database", "export its rows as CSV or JSON"],
  [/^%PDF-/, "a PDF file", "a dataset holds rows of text"],
  [/^(?:\x89PNG|\xff\xd8\xff|GIF8)/, "an image", "a dataset holds rows of text"],
  [/^[^]{257}ustar/, "a tar archive", "unpack it, then name the file or the folder inside"],
  [/^\x80[^\s\w]/, "a Python pickle", "write the rows as JSON Lines"],
];

/**
 * Tells by the content, never by the file's name: Parquet, a JSON array, JSON Lines, one JSON object
 * of arrays, or CSV with the delimiter that most rows agree on.
 *
 * @throws MoxiError E_DATASET_EMPTY, E_DATASET_ENCODING, E_DATASET_SYNTAX, E_DATASET_ARCHIVE
 */
export async function readLayout(source: Source): Promise<Layout> {
  const head = await source.slice(0, headBytes);
  const bytes = head.toString("latin1");
  if (bytes.startsWith("PAR1")) return { container: "parquet", start: 0 };
  const marked = bytes.startsWith("\xff\xfe") || bytes.startsWith("\xfe\xff");
  if (marked && !/^\xff\xfe\0\0$/.test(bytes)) {
    throw new MoxiError("E_DATASET_ENCODING", `${source.name} is UTF-16, not UTF-8`, {
      hint: "save it as UTF-8, e.g. with iconv -f UTF-16 -t UTF-8 FILE > NEW-FILE",
      place: { file: source.name, line: 1, column: 1 },
    });
  }
  const order = orderOfHalves(head);
  if (order !== undefined) {
    throw new MoxiError("E_DATASET_ENCODING", `${source.name} looks like UTF-16, not UTF-8`, {
      hint: `save it as UTF-8, e.g. with iconv -f UTF-16${order} -t UTF-8 FILE > NEW-FILE`,
      place: { file: source.name, line: 1, column: 1 },
    });
  }
  refuseStranger(source, bytes);
  const start = bytes.startsWith("\xef\xbb\xbf") ? 3 : 0;
  const { first, offset } = await firstCharacter(source, start);
  if (first === "[") return { container: "array", start };
  if (first === "{") {
    return { container: isWrapped(head.subarray(start)) ? "object" : "lines", start };
  }
  const delimiter = voteDelimiter(head.subarray(start), source.bytes > headBytes);
  if (delimiter !== undefined) return { container: "csv", start, delimiter };
  throw await explain(
    source,
    new Unreadable(
      offset,
      "expected JSON, JSON Lines, CSV or Parquet",
      'a dataset is [{"instruction": ..., "output": ...}, ...], or one such object a line, or a table with a line of names',
    ),
  );
}

/** UTF-16 without a byte order mark: of mostly Latin text every other byte is NUL. */
function orderOfHalves(head: Buffer): "LE" | "BE" | undefined {
  const nuls: [number, number] = [0, 0];
  const looked = Math.min(head.length, 1024) & ~1;
  for (let at = 0; at < looked; at++) if (head[at] === 0) nuls[at & 1]! += 1;
  const [even, odd] = nuls;
  if (looked < 4 || Math.max(even, odd) < looked / 4 || Math.min(even, odd) > looked / 64)
    return undefined;
  return odd > even ? "LE" : "BE";
}

async function firstCharacter(source: Source, start: number) {
  let offset = start;
  for await (const chunk of source.chunks(start)) {
    const at = chunk.findIndex((byte) => !" \t\r\n".includes(String.fromCharCode(byte)));
    if (at !== -1) return { first: String.fromCharCode(chunk[at]!), offset: offset + at };
    offset += chunk.length;
  }
  throw emptyDataset(source.name, "holds nothing but blanks");
}

function refuseStranger({ name }: Source, bytes: string): void {
  const packed = compressionOf(Buffer.from(bytes.slice(0, 4), "latin1"));
  const found = strangers.find(([magic]) => magic.test(bytes.slice(0, 512)));
  if (found === undefined || packed !== null) return;
  const [, what, hint] = found;
  throw new MoxiError("E_DATASET_SYNTAX", `${name} is ${what}`, { hint, place: { file: name } });
}

/**
 * Whether the file is one object that wraps rows, `{"data": [...]}`, and not JSON Lines: the object
 * has none of the fields that a row has, and an array of objects among its values.
 */
function isWrapped(head: Buffer): boolean {
  let end: number;
  try {
    end = new ValueScanner().scan(head, head.indexOf(0x7b), 0);
  } catch {
    return false; // The reader says what is wrong.
  }
  if (end !== -1) {
    const rest = head.subarray(end).toString().trim();
    if (rest !== "") return false;
    try {
      const value: unknown = JSON.parse(head.subarray(0, end).toString());
      return isRecord(value) && wraps(Object.keys(value), Object.values(value).some(holdsRows));
    } catch {
      return false;
    }
  }
  const { keys, array } = topLevel(head.toString("latin1"));
  return wraps(keys, array);
}

function holdsRows(value: unknown): boolean {
  return Array.isArray(value) && isRecord(value[0]);
}

function wraps(keys: readonly string[], array: boolean): boolean {
  return array && !keys.some((key) => rowFields.has(key));
}

/** The names at the first level of an object that is cut off, and whether one of them has an array. */
function topLevel(text: string): { keys: string[]; array: boolean } {
  const keys: string[] = [];
  let array = false;
  let depth = 0;
  const token = /"((?:[^"\\]|\\.)*)"(\s*:\s*(\[(?=\s*\{))?)?|[[\]{}]/gs;
  for (const [whole, name, colon, bracket] of text.matchAll(token)) {
    if (name !== undefined) {
      if (depth === 1 && colon !== undefined) {
        keys.push(name);
        array ||= bracket !== undefined;
      }
      if (bracket !== undefined) depth += 1;
    } else depth += whole === "{" || whole === "[" ? 1 : -1;
  }
  return { keys, array };
}

/** What the ending of a file's name promises and its content does not keep, or undefined. */
export function mismatch(source: Source, layout: Layout): string | undefined {
  const ending = /\.([a-z0-9]+)(?:\.(?:gz|zst))?$/i.exec(source.name)?.[1]?.toLowerCase();
  const promised: Readonly<Record<string, readonly Layout["container"][]>> = {
    json: ["array", "object", "lines"],
    jsonl: ["lines"],
    ndjson: ["lines"],
    csv: ["csv"],
    tsv: ["csv"],
    parquet: ["parquet"],
  };
  const packing = /\.(gz|zst)$/i.exec(source.name)?.[1]?.toLowerCase();
  const packed = { gzip: "gz", zstd: "zst" } as const;
  if (packing !== undefined && source.compression === null) {
    return `${source.name} is named .${packing} and is not packed`;
  }
  if (packing !== undefined && packed[source.compression!] !== packing) {
    return `${source.name} is named .${packing} and is packed with ${source.compression}`;
  }
  if (ending === undefined || !Object.hasOwn(promised, ending)) return undefined;
  if (promised[ending]!.includes(layout.container)) return undefined;
  return `${source.name} is named .${printable(ending)} and holds ${containerNames[layout.container]}`;
}
