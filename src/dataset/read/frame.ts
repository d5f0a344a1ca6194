import { ValueScanner } from "./scan.ts";
import { findSyntaxProblem, unreadableText } from "./syntax.ts";
import { Unreadable } from "./unreadable.ts";

/** The bytes of one row, and where they begin. */
export interface Frame {
  /** Valid until the next push: a view of the chunk where it can be. */
  readonly bytes: Buffer;
  /** In bytes from the start of the file. */
  readonly offset: number;
  readonly line: number;
  /** The name of the array that it stands in, in a file that is one object: "train", "data". */
  readonly section?: string;
}

/** Cuts a stream of chunks into rows. It finds borders only; whether a row is JSON, JSON.parse says. */
export interface Framer {
  push(chunk: Buffer): Frame[];
  /** What is left after the last chunk. */
  end(): Frame[];
}

const maxRowBytes = 64 * 1024 * 1024;
const nothing = Buffer.alloc(0);

const lineFeed = 0x0a;
const comma = 0x2c;
const closeBracket = 0x5d;
const quote = 0x22;
const colon = 0x3a;
const openBracket = 0x5b;
const closeBrace = 0x7d;

/** One row a line; lines of nothing but blanks are skipped. */
export class LineFramer implements Framer {
  readonly #row: PartialRow;
  #offset: number;
  #line = 1;

  constructor(offset: number) {
    this.#offset = offset;
    this.#row = new PartialRow(offset);
  }

  push(chunk: Buffer): Frame[] {
    const frames: Frame[] = [];
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(lineFeed, start);
      if (end === -1) break;
      this.#take(chunk.subarray(start, end), frames);
      start = end + 1;
      this.#line += 1;
      this.#row.begin(this.#offset + start);
    }
    this.#row.keep(chunk.subarray(start));
    this.#offset += chunk.length;
    return frames;
  }

  end(): Frame[] {
    const frames: Frame[] = [];
    this.#take(nothing, frames);
    return frames;
  }

  #take(rest: Buffer, frames: Frame[]): void {
    const bytes = this.#row.finish(rest);
    if (bytes.every(isSpace)) return;
    frames.push({ bytes, offset: this.#row.offset, line: this.#line });
  }
}

/** The items of one JSON array, over as many lines as it likes. */
export class ArrayFramer implements Framer {
  readonly #row: PartialRow;
  #offset: number;
  #line = 1;
  #rowLine = 1;
  #state: "start" | "first" | "next" | "item" | "after" | "end" = "start";
  #scanner = new ValueScanner();
  readonly #nested: boolean;

  /** @param nested where the array stands in an object, the line it begins on. */
  constructor(offset: number, nested?: { readonly line: number }) {
    this.#offset = offset;
    this.#row = new PartialRow(offset);
    this.#nested = nested !== undefined;
    if (nested !== undefined) this.#line = nested.line;
  }

  push(chunk: Buffer): Frame[] {
    const frames: Frame[] = [];
    this.scan(chunk, 0, frames);
    return frames;
  }

  /**
   * Reads on from an index of a chunk, which is pushed whole or, behind a nested array, in parts.
   *
   * @returns the index behind the closing bracket of a nested array, else the chunk's length.
   */
  scan(chunk: Buffer, from: number, frames: Frame[]): number {
    let start = from;
    for (let at = from; at < chunk.length;) {
      if (this.#state === "item") {
        const end = this.#scanner.scan(chunk, at, this.#offset);
        if (end === -1) break;
        frames.push(this.#frame(chunk.subarray(start, end)));
        this.#state = "after";
        at = end;
      } else if (this.#beginsItem(chunk[at]!, this.#offset + at)) {
        this.#state = "item";
        this.#scanner = new ValueScanner();
        this.#rowLine = this.#line;
        this.#row.begin(this.#offset + at);
        start = at;
      } else {
        at += 1;
        if (this.#state === "end" && this.#nested) return at;
      }
    }
    if (this.#state === "item") this.#row.keep(chunk.subarray(start));
    this.#offset += chunk.length;
    return chunk.length;
  }

  get line(): number {
    return this.#line;
  }

  get closed(): boolean {
    return this.#state === "end";
  }

  end(): Frame[] {
    if (this.#state === "end") return [];
    if (this.#state === "item") return [this.#frame(nothing)];
    throw new Unreadable(this.#offset, 'expected "]" to close the array, and the file ends here');
  }

  #frame(rest: Buffer): Frame {
    this.#line += this.#scanner.lines;
    return { bytes: this.#row.finish(rest), offset: this.#row.offset, line: this.#rowLine };
  }

  /** Reads a byte outside all items. */
  #beginsItem(byte: number, offset: number): boolean {
    if (byte === lineFeed) this.#line += 1;
    if (isSpace(byte)) return false;
    switch (this.#state) {
      case "start": // The opening bracket: whoever chose this framer saw it.
        this.#state = "first";
        return false;
      case "first":
      case "next":
        if (byte === closeBracket && this.#state === "first") {
          this.#state = "end";
          return false;
        }
        if (byte === comma || byte === closeBracket) {
          const mend = byte === closeBracket ? ": remove the comma before it" : "";
          throw new Unreadable(offset, `expected a row, found ${shown(byte)}${mend}`);
        }
        return true;
      case "after":
        if (byte !== comma && byte !== closeBracket) {
          throw new Unreadable(offset, `expected "," or "]" after a row, found ${shown(byte)}`);
        }
        this.#state = byte === comma ? "next" : "end";
        return false;
      default:
        throw new Unreadable(offset, `expected nothing after the array, found ${shown(byte)}`);
    }
  }
}

/** The items of every array that one object holds, `{"train": [...], "test": [...]}`; the rest is skipped. */
export class ObjectFramer implements Framer {
  #offset: number;
  #line = 1;
  #state: "start" | "first" | "key" | "colon" | "value" | "array" | "skip" | "after" | "end" =
    "start";
  #key: PartialRow;
  #section = "";
  #scanner = new ValueScanner();
  #array = new ArrayFramer(0);
  #inKey = false;

  constructor(offset: number) {
    this.#offset = offset;
    this.#key = new PartialRow(offset);
  }

  push(chunk: Buffer): Frame[] {
    const frames: Frame[] = [];
    for (let at = 0; at < chunk.length;) at = this.#step(chunk, at, frames);
    this.#offset += chunk.length;
    return frames;
  }

  end(): Frame[] {
    if (this.#state === "end") return [];
    throw new Unreadable(this.#offset, 'expected "}" to close the object, and the file ends here');
  }

  #step(chunk: Buffer, at: number, frames: Frame[]): number {
    if (this.#state === "array") {
      const own: Frame[] = [];
      const end = this.#array.scan(chunk, at, own);
      for (const frame of own) frames.push({ ...frame, section: this.#section });
      if (this.#array.closed) {
        this.#line = this.#array.line;
        this.#state = "after";
      }
      return end;
    }
    if (this.#state === "skip" || this.#inKey) return this.#skip(chunk, at);
    const byte = chunk[at]!;
    if (byte === lineFeed) this.#line += 1;
    // What begins a key or a value is part of it.
    return !isSpace(byte) && this.#begins(byte, at) ? at : at + 1;
  }

  /** Goes over a key or a value that holds no rows. */
  #skip(chunk: Buffer, at: number): number {
    const end = this.#scanner.scan(chunk, at, this.#offset);
    const part = chunk.subarray(at, end === -1 ? chunk.length : end);
    if (this.#inKey) this.#key.keep(part);
    if (end === -1) return chunk.length;
    this.#line += this.#scanner.lines;
    if (this.#inKey) {
      const text = this.#key.finish(nothing).toString();
      this.#section = keyOf(text, this.#key.offset);
      this.#inKey = false;
      this.#state = "colon";
    } else {
      this.#state = "after";
    }
    return end;
  }

  /** Reads a byte outside all keys and values; true if one begins with it. */
  #begins(byte: number, at: number): boolean {
    const offset = this.#offset + at;
    const expected = (what: string) =>
      new Unreadable(offset, `expected ${what}, found ${shown(byte)}`);
    switch (this.#state) {
      case "start":
        this.#state = "first";
        return false;
      case "first":
      case "key":
        if (byte === closeBrace && this.#state === "first") {
          this.#state = "end";
          return false;
        }
        if (byte !== quote) throw expected("a field's name in double quotes");
        this.#inKey = true;
        this.#key.begin(offset);
        this.#scanner = new ValueScanner();
        return true;
      case "colon":
        if (byte !== colon) throw expected('":"');
        this.#state = "value";
        return false;
      case "value":
        if (byte === comma || byte === closeBrace || byte === closeBracket) {
          throw expected("a value");
        }
        this.#scanner = new ValueScanner();
        this.#array = new ArrayFramer(this.#offset, { line: this.#line });
        this.#state = byte === openBracket ? "array" : "skip";
        return true;
      case "after":
        if (byte !== comma && byte !== closeBrace) throw expected('"," or "}"');
        this.#state = byte === comma ? "key" : "end";
        return false;
      default:
        throw expected("nothing after the object");
    }
  }
}

function keyOf(text: string, offset: number): string {
  try {
    return String(JSON.parse(text));
  } catch {
    throw new Unreadable(offset, "this name of a field is no JSON text");
  }
}

/** Collects the bytes of a row that lies across chunks. */
class PartialRow {
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
    if (this.#length > maxRowBytes) throw this.#tooLong();
  }

  finish(rest: Buffer): Buffer {
    if (this.#parts.length === 0) return rest;
    const bytes = Buffer.concat([...this.#parts, rest]);
    this.#parts = [];
    this.#length = 0;
    return bytes;
  }

  /** Such a row is mostly one whose closing quote or bracket is missing: then say that. */
  #tooLong(): Unreadable {
    const text = Buffer.concat(this.#parts).toString();
    const problem = findSyntaxProblem(text);
    return problem === undefined || problem.unfinished
      ? new Unreadable(this.offset, "a row of more than 64 MiB begins here")
      : unreadableText(this.offset, text, problem);
  }
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

function shown(byte: number): string {
  return byte < 0x80 ? JSON.stringify(String.fromCharCode(byte)) : "something else";
}
