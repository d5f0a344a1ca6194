import { crc32 } from "node:zlib";
import { crc64 } from "./crc64.ts";

/** A stretch of an object or of a file: a block, or a range of adjacent ones with the index of the first. */
export interface Stretch {
  readonly index: number;
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

/** What an object is cut into: each block is checked, and remembered after a break, by itself. */
export function blocksOf(size: number, blockBytes: number): Stretch[] {
  return Array.from({ length: Math.ceil(size / blockBytes) }, (_, index) => ({
    index,
    offset: index * blockBytes,
    length: Math.min(blockBytes, size - index * blockBytes),
  }));
}

/**
 * What is asked for in one request each: adjacent blocks, many at first and fewer towards the end, so
 * that all connections end at about the same time (guided self-scheduling, Polychronopoulos and Kuck 1987).
 */
export function rangesOf(blocks: readonly Stretch[], atOnce = rangesAtOnce): Stretch[] {
  const ranges: Stretch[] = [];
  for (let at = 0; at < blocks.length;) {
    const { index, offset, length: blockBytes } = blocks[at]!;
    const share = Math.ceil((blocks.length - at) / (2 * atOnce));
    const most = Math.min(share, Math.max(1, Math.floor(longestRange / blockBytes)));
    const next = blocks.slice(at, at + most);
    const adjacent = next.filter((block, count) => block.index === index + count);
    ranges.push({ index, offset, length: adjacent.reduce((sum, { length }) => sum + length, 0) });
    at += adjacent.length;
  }
  return ranges;
}

export interface Counted {
  /** Of the range. */
  readonly length: number;
  readonly blockBytes: number;
  /** Whether the slower sum is wanted too. */
  readonly crc64: boolean;
}

/** Counts the sums of a range's blocks while its bytes come. */
export class BlockSums {
  /** Of the blocks that have come whole. */
  readonly sums: Sums[] = [];
  private readonly of: Counted;
  private at = 0;
  private crc = 0;
  private crc64 = 0n;

  constructor(of: Counted) {
    this.of = of;
  }

  /**
   * Takes what follows, or the first bytes again where all that came has been thrown away. Returns the
   * sums of the blocks that end in it.
   */
  take(piece: Buffer, at: number): readonly Sums[] {
    const { length, blockBytes, crc64: wanted } = this.of;
    if (at === 0) {
      this.sums.length = 0;
      this.at = 0;
      this.begin();
    }
    const known = this.sums.length;
    for (let rest = piece; rest.length > 0;) {
      const end = Math.min(length, (this.sums.length + 1) * blockBytes);
      const part = rest.subarray(0, end - this.at);
      this.crc = crc32(part, this.crc);
      if (wanted) this.crc64 = crc64(part, this.crc64);
      this.at += part.length;
      rest = rest.subarray(part.length);
      if (this.at < end) continue;
      this.sums.push({ crc: this.crc, crc64: wanted ? this.crc64 : undefined });
      this.begin();
    }
    return this.sums.slice(known);
  }

  private begin(): void {
    this.crc = 0;
    this.crc64 = 0n;
  }
}
