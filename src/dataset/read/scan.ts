import { Unreadable } from "./unreadable.ts";

const maxDepth = 1000;
const maxValues = 1_000_000;

const lineFeed = 0x0a;
const space = 0x20;
const quote = 0x22;
const comma = 0x2c;
const colon = 0x3a;
const openBracket = 0x5b;
const backslash = 0x5c;
const closeBracket = 0x5d;
const openBrace = 0x7b;
const closeBrace = 0x7d;

/** Finds where one JSON value ends, chunk by chunk, by its brackets and quotes alone. */
export class ValueScanner {
  /** Line breaks seen so far; text is not looked into, since in JSON it has none. */
  lines = 0;
  #depth = 0;
  #values = 0;
  #inText = false;
  #escaped = false;

  /**
   * @param offset where the chunk begins in the file, in bytes.
   * @returns the index after the value's last byte, or -1 if it goes on in the next chunk.
   * @throws Unreadable where it nests more than 1,000 deep or holds more than a million values:
   * parsed, `[[],[],...` takes thirty times its bytes.
   */
  scan(chunk: Buffer, from: number, offset: number): number {
    let at = from;
    while (at < chunk.length) {
      if (this.#inText) {
        at = this.#skipText(chunk, at);
        continue;
      }
      const byte = chunk[at]!;
      at += 1;
      if (byte === quote) {
        this.#inText = true;
      } else if (byte === openBrace || byte === openBracket) {
        this.#depth += 1;
        if (this.#depth > maxDepth)
          throw tooMuch(offset + at - 1, "is nested more than 1,000 deep");
      } else if (this.#depth === 0) {
        // A value without brackets ends before whatever cannot be part of it.
        const ends = byte <= space || byte === comma || byte === colon;
        if (ends || byte === closeBracket || byte === closeBrace) return at - 1;
      } else if (byte === closeBrace || byte === closeBracket) {
        this.#depth -= 1;
        if (this.#depth === 0) return at;
      } else if (byte === comma) {
        this.#values += 1;
        if (this.#values > maxValues)
          throw tooMuch(offset + at - 1, "has more than a million values");
      } else if (byte === lineFeed) {
        this.lines += 1;
      }
    }
    return -1;
  }

  /** The index after the closing quote, or the chunk's length. */
  #skipText(chunk: Buffer, from: number): number {
    let at = this.#escaped ? from + 1 : from;
    this.#escaped = false;
    for (;;) {
      // indexOf is native: four times as fast as a loop over the bytes.
      const end = chunk.indexOf(quote, at);
      const stop = end === -1 ? chunk.length : end;
      let slashes = 0;
      while (stop - slashes > at && chunk[stop - slashes - 1] === backslash) slashes += 1;
      const escaped = slashes % 2 === 1;
      if (end === -1) {
        this.#escaped = escaped;
        return chunk.length;
      }
      at = end + 1;
      if (escaped) continue;
      this.#inText = false;
      return at;
    }
  }
}

/** @throws Unreadable if one whole JSON value goes beyond the same bounds. */
export function refuseExcess(value: Buffer, offset: number): void {
  // Each level takes two bytes at least: most rows need no look.
  if (value.length > 2 * maxDepth) new ValueScanner().scan(value, 0, offset);
}

function tooMuch(offset: number, what: string): Unreadable {
  return new Unreadable(offset, `this row ${what}`);
}
