import { crc32 } from "node:zlib";
import { crc64 } from "./crc64.ts";

/** A piece of an object that is checked, and remembered after a break, by itself. */
export interface Block {
  readonly index: number;
  readonly offset: number;
  readonly length: number;
}

/** Adjacent blocks, from the first on. */
export interface Range {
  readonly first: number;
  readonly offset: number;
  readonly length: number;
}

/** What was counted over one block; the second only where the object has nothing else. */
export interface Sums {
  readonly crc: number;
  readonly crc64?: bigint | undefined;
}

/** So many ranges at once fill the line. */
export const rangesAtOnce = 8;
/** By that size the round trip between two requests of a connection is lost among the bytes. */
const longestRange = 256 << 20;

/** What an object is cut into. */
export function blocksOf(size: number, blockBytes: number): Block[] {
  return Array.from({ length: Math.ceil(size / blockBytes) }, (_, index) => ({
    index,
    offset: index * blockBytes,
    length: Math.min(blockBytes, size - index * blockBytes),
  }));
}

/**
 * What is asked for in one request each, of blocks that are missing, in order: many adjacent ones at
 * first and fewer towards the end, so that all connections end at about the same time (guided
 * self-scheduling, Polychronopoulos and Kuck 1987).
 */
export function rangesOf(blocks: readonly Block[], atOnce = rangesAtOnce): Range[] {
  const ranges: Range[] = [];
  for (let at = 0; at < blocks.length;) {
    const { index: first, offset, length: blockBytes } = blocks[at]!;
    const share = Math.ceil((blocks.length - at) / (2 * atOnce));
    const most = Math.min(share, Math.max(1, Math.floor(longestRange / blockBytes)));
    const next = blocks.slice(at, at + most);
    // Indices rise, so that behind a gap none fits any more.
    const adjacent = next.filter(({ index }, count) => index === first + count);
    ranges.push({ first, offset, length: adjacent.reduce((sum, { length }) => sum + length, 0) });
    at += adjacent.length;
  }
  return ranges;
}

/** Counts the sums of a range's blocks while its bytes come. */
export class BlockSums {
  /** Of the blocks that have come whole. */
  readonly sums: Sums[] = [];
  private readonly length: number;
  private readonly blockBytes: number;
  private readonly wants64: boolean;
  private at = 0;
  private crc = 0;
  private crc64 = 0n;

  /** `length` is the range's, in bytes; `crc64` whether the slower sum is wanted too. */
  constructor(range: {
    readonly length: number;
    readonly blockBytes: number;
    readonly crc64: boolean;
  }) {
    this.length = range.length;
    this.blockBytes = range.blockBytes;
    this.wants64 = range.crc64;
  }

  /**
   * Takes what follows, or the first bytes again where all that came has been thrown away. Returns the
   * sums of the blocks that end in it.
   *
   * @throws RangeError for bytes that are neither
   */
  take(piece: Buffer, at: number): readonly Sums[] {
    if (at === 0) {
      this.sums.length = 0;
      this.at = 0;
      this.begin();
    }
    if (at !== this.at || at + piece.length > this.length) {
      throw new RangeError(`${piece.length} bytes at ${at} are not what follows ${this.at}`);
    }
    const known = this.sums.length;
    for (let rest = piece; rest.length > 0;) {
      const end = Math.min(this.length, (this.sums.length + 1) * this.blockBytes);
      const part = rest.subarray(0, end - this.at);
      this.crc = crc32(part, this.crc);
      if (this.wants64) this.crc64 = crc64(part, this.crc64);
      this.at += part.length;
      rest = rest.subarray(part.length);
      if (this.at < end) continue;
      this.sums.push({ crc: this.crc, crc64: this.wants64 ? this.crc64 : undefined });
      this.begin();
    }
    return this.sums.slice(known);
  }

  private begin(): void {
    this.crc = 0;
    this.crc64 = 0n;
  }
}
