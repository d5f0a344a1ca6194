import { refuseExcess, ValueScanner } from "./scan.ts";
import { findSyntaxProblem, unreadableText } from "./syntax.ts";
import { Unreadable } from "./unreadable.ts";

/** The bytes of one row, and where they begin. */
export interface Frame {
  /** Valid until the next push: a view of the chunk where it can be. */
  readonly bytes: Buffer;
  /** In bytes from the start of the file. */
  readonly offset: number;
  readonly line: number;
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
    refuseExcess(bytes, this.#row.offset);
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

  constructor(offset: number) {
    this.#offset = offset;
    this.#row = new PartialRow(offset);
  }

  push(chunk: Buffer): Frame[] {
    const frames: Frame[] = [];
    let start = 0;
    for (let at = 0; at < chunk.length;) {
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
      }
    }
    if (this.#state === "item") this.#row.keep(chunk.subarray(start));
    this.#offset += chunk.length;
    return frames;
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
