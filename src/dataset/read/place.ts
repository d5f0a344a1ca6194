import { MoxiError } from "../../base/errors.ts";
import { printable } from "../../base/format.ts";
import { hideLongPieces } from "../hide-secrets.ts";
import type { Source } from "./source.ts";
import type { Unreadable } from "./unreadable.ts";

interface TextPlace {
  readonly line: number;
  /** In characters (code points), from 1. */
  readonly column: number;
  /** The text around the place, safe to print, and a caret below it. */
  readonly excerpt: readonly [string, string];
}

const lineFeed = 0x0a;
const around = 32;

/** Makes the error that people see: what is wrong, at which line and column, and the text there. */
export async function explain(source: Source, problem: Unreadable): Promise<MoxiError> {
  if (problem.offset < 0) {
    return new MoxiError("E_DATASET_SYNTAX", `${source.name}: ${printable(problem.message)}`, {
      place: { file: source.name, ...(problem.line === undefined ? {} : { line: problem.line }) },
      hint: problem.hint ?? "mend the file there, or write it again",
    });
  }
  const { line, column, excerpt } = await findPlace(source, problem.offset);
  const encoding = encodingProblem(await source.slice(problem.offset, 4));
  const code = encoding === undefined ? "E_DATASET_SYNTAX" : "E_DATASET_ENCODING";
  const hint =
    encoding === undefined
      ? (problem.hint ?? "mend the file there, or write it again with a JSON library")
      : "save it as UTF-8, e.g. with iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW-FILE";
  return new MoxiError(code, `${source.name}: ${encoding ?? printable(problem.message)}`, {
    place: { file: source.name, line, column },
    details: excerpt,
    hint,
  });
}

/** Says what is wrong with a byte that cannot be there in UTF-8 text. */
function encodingProblem(bytes: Buffer): string | undefined {
  if (bytes[0] === 0) return "a NUL byte: the file is UTF-16 or no text at all";
  const broken = bytes.toString().startsWith("\ufffd") && bytes.toString("hex", 0, 3) !== "efbfbd";
  return broken ? `the byte 0x${bytes.toString("hex", 0, 1)} is not UTF-8 here` : undefined;
}

/**
 * Finds line and column of a byte by reading the file again: only a broken file pays for it, and
 * the reader need not count characters.
 */
export async function findPlace(source: Source, offset: number): Promise<TextPlace> {
  let line = 1;
  let column = 1;
  let position = 0;
  for await (const chunk of source.chunks(0)) {
    const end = Math.min(chunk.length, offset - position);
    for (let at = 0; at < end; at++) {
      const byte = chunk[at]!;
      if (byte === lineFeed) {
        line += 1;
        column = 1;
      } else if ((byte & 0xc0) !== 0x80) {
        column += 1;
      }
    }
    position += chunk.length;
    if (position >= offset) break;
  }
  // A byte order mark is no character of the first line.
  const marked = (await source.slice(0, 3)).toString() === "\ufeff";
  if (marked && line === 1 && offset >= 3) column -= 1;
  return { line, column, excerpt: await excerptAt(source, offset) };
}

async function excerptAt(source: Source, offset: number): Promise<[string, string]> {
  const start = Math.max(0, offset - 4 * around);
  const before = await source.slice(start, offset - start);
  const after = await source.slice(offset, 4 * around);
  const left = clip(
    before
      .toString()
      .replace(/^\ufeff/, "")
      .split("\n")
      .at(-1)!,
    -around,
  );
  const right = clip(after.toString().split(/\r?\n/)[0]!, around);
  return [`${left}${right}`, `${" ".repeat(left.length)}^`];
}

/** The first (or, below 0, the last) so many characters, each a visible one and none of a secret. */
function clip(text: string, count: number): string {
  const characters = Array.from(hideLongPieces(text));
  const kept = count < 0 ? characters.slice(count) : characters.slice(0, count);
  return printable(kept.join("").replaceAll("\t", " "));
}
