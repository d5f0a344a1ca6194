import { ArrayFramer } from "./frame.ts";
import type { Frame, Framer } from "./frame.ts";
import { isSpace, PartialRow, shown } from "./partial-row.ts";
import { ValueScanner } from "./scan.ts";
import { Unreadable } from "./unreadable.ts";

const nothing = Buffer.alloc(0);

const lineFeed = 0x0a;
const quote = 0x22;
const comma = 0x2c;
const colon = 0x3a;
const openBracket = 0x5b;
const closeBracket = 0x5d;
const closeBrace = 0x7d;

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
