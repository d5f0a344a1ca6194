import type { Framer } from "./frame.ts";
import type { Layout } from "./layout.ts";
import { maxRowBytes, tooLong } from "./partial-row.ts";
import { framerOf } from "./rows.ts";

/** Some rows of a file on their way to whoever checks them, as plain data: workers get them. */
export interface Parcel {
  /** Longer than `size` as a rule: it is used again. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly size: number;
  /** Where the bytes begin in the file, if each line is a row. */
  readonly offset: number;
  /** Of rows that were cut out: each ends in a line feed, and came from here. */
  readonly rows?: CutRows;
}

export interface CutRows {
  /** Where each ends in the parcel: before its line feed. */
  readonly ends: Uint32Array;
  readonly lines: Uint32Array;
  /** In the file. */
  readonly offsets: Float64Array;
}

/** Packs a stream of chunks into parcels of whole rows. Chunks may be overwritten after each call. */
export interface Packer {
  push(chunk: Buffer): Parcel[];
  /** What is left after the last chunk. */
  end(): Parcel[];
  /** Names of the arrays that rows came from, in a file that is one object; the first twenty. */
  readonly sections: ReadonlySet<string>;
}

/** A parcel has at most so many bytes, unless a row of its own has more. */
export const parcelBytes = (1 << 20) + (1 << 18);
const lineFeed = 0x0a;

/** Memory for parcels, used again and again: what lies outside the heap is given back late. */
export class Buffers {
  readonly #free: Uint8Array<ArrayBuffer>[] = [];

  take(size: number): Uint8Array<ArrayBuffer> {
    if (size > parcelBytes) return new Uint8Array(size);
    return this.#free.pop() ?? new Uint8Array(parcelBytes);
  }

  giveBack(bytes: Uint8Array<ArrayBuffer>): void {
    if (bytes.length === parcelBytes) this.#free.push(bytes);
  }
}

export function packerOf(layout: Layout, buffers: Buffers): Packer {
  return layout.container === "lines"
    ? new LinePacker(layout.start, buffers)
    : new RowPacker(framerOf(layout), buffers);
}

/** Whole lines, as they stand in the file: whoever checks them finds where each ends. */
class LinePacker implements Packer {
  readonly sections: ReadonlySet<string> = new Set();
  readonly #buffers: Buffers;
  #offset: number;
  /** The beginning of a line that goes on in the next chunk. */
  #kept: Buffer[] = [];
  #size = 0;

  constructor(offset: number, buffers: Buffers) {
    this.#offset = offset;
    this.#buffers = buffers;
  }

  push(chunk: Buffer): Parcel[] {
    const end = chunk.lastIndexOf(lineFeed) + 1;
    const parcels = end === 0 ? [] : [this.#pack(chunk.subarray(0, end))];
    if (end < chunk.length) this.#kept.push(Buffer.from(chunk.subarray(end)));
    this.#size += chunk.length - end;
    if (this.#size > maxRowBytes) throw tooLong(this.#offset, this.#kept);
    return parcels;
  }

  end(): Parcel[] {
    return this.#size === 0 ? [] : [this.#pack(Buffer.from("\n"))];
  }

  #pack(rest: Buffer): Parcel {
    const size = this.#size + rest.length;
    const bytes = this.#buffers.take(size);
    let at = 0;
    for (const part of [...this.#kept, rest]) {
      bytes.set(part, at);
      at += part.length;
    }
    const parcel = { bytes, size, offset: this.#offset };
    this.#offset += size;
    this.#kept = [];
    this.#size = 0;
    return parcel;
  }
}

/** Rows that a framer cut out, one after the other. */
class RowPacker implements Packer {
  readonly sections = new Set<string>();
  readonly #framer: Framer;
  readonly #buffers: Buffers;

  constructor(framer: Framer, buffers: Buffers) {
    this.#framer = framer;
    this.#buffers = buffers;
  }

  push(chunk: Buffer): Parcel[] {
    return this.#pack(this.#framer.push(chunk));
  }

  end(): Parcel[] {
    return this.#pack(this.#framer.end());
  }

  #pack(frames: ReturnType<Framer["push"]>): Parcel[] {
    const section = frames.at(-1)?.section;
    if (section !== undefined && this.sections.size < 20) this.sections.add(section);
    const parcels: Parcel[] = [];
    for (let from = 0; from < frames.length;) {
      let size = 0;
      let to = from;
      while (to < frames.length) {
        const more = frames[to]!.bytes.length + 1;
        if (to > from && size + more > parcelBytes) break;
        size += more;
        to += 1;
      }
      parcels.push(this.#packSome(frames.slice(from, to), size));
      from = to;
    }
    return parcels;
  }

  #packSome(frames: ReturnType<Framer["push"]>, size: number): Parcel {
    const bytes = this.#buffers.take(size);
    const ends = new Uint32Array(frames.length);
    const lines = new Uint32Array(frames.length);
    const offsets = new Float64Array(frames.length);
    let at = 0;
    for (let index = 0; index < frames.length; index++) {
      const frame = frames[index]!;
      bytes.set(frame.bytes, at);
      at += frame.bytes.length;
      ends[index] = at;
      bytes[at] = lineFeed;
      at += 1;
      lines[index] = frame.line;
      offsets[index] = frame.offset;
    }
    return { bytes, size, offset: 0, rows: { ends, lines, offsets } };
  }
}
