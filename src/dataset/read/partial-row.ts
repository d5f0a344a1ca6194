import { findSyntaxProblem, unreadableText } from "./syntax.ts";
import { Unreadable } from "./unreadable.ts";

export const maxRowBytes = 64 * 1024 * 1024;

/** Collects the bytes of a row that lies across chunks. */
export class PartialRow {
  offset: number;
  #parts: Buffer[] = [];
  #length = 0;

  constructor(offset: number) {
    this.offset = offset;
  }

  begin(offset: number): void {
    this.offset = offset;
  }

  /** Copies: the chunk is about to be overwritten. */
  keep(part: Buffer): void {
    this.#length += part.length;
    if (part.length > 0) this.#parts.push(Buffer.from(part));
    if (this.#length > maxRowBytes) throw tooLong(this.offset, this.#parts);
  }

  finish(rest: Buffer): Buffer {
    if (this.#parts.length === 0) return rest;
    const bytes = Buffer.concat([...this.#parts, rest]);
    this.#parts = [];
    this.#length = 0;
    return bytes;
  }
}

/** Such a row is mostly one whose closing quote or bracket is missing: then it says that. */
export function tooLong(offset: number, parts: readonly Buffer[]): Unreadable {
  const text = Buffer.concat(parts).toString();
  const problem = findSyntaxProblem(text);
  return problem === undefined || problem.unfinished
    ? new Unreadable(offset, "a row of more than 64 MiB begins here")
    : unreadableText(offset, text, problem);
}

export function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

export function shown(byte: number): string {
  return byte < 0x80 ? JSON.stringify(String.fromCharCode(byte)) : "something else";
}
