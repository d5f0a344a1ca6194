import { isSpace, PartialRow, shown } from "./partial-row.ts";
import { ValueScanner } from "./scan.ts";
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
