import { readSync } from "node:fs";
import { maxRowBytes, tooLong } from "./partial-row.ts";
import type { Unreadable } from "./unreadable.ts";

/** The rows of a file of lines that begin between two of its bytes: whoever checks them reads them. */
export interface Stretch {
  readonly from: number;
  readonly to: number;
}

/** Whole lines, each with its line feed. */
export interface Lines {
  readonly bytes: Buffer;
  /** Where the first begins in the bytes. */
  readonly from: number;
  /** Where the bytes begin in the file. */
  readonly offset: number;
  /** Behind them begins a line of more than 64 MiB. */
  readonly unreadable?: Unreadable;
}

/** Bytes and what is read of the file for them stay in a core's own cache. */
const stretchBytes = 1 << 19;
const pieceBytes = 1 << 20;
const lineFeed = 0x0a;

/** Cuts what follows from `start` to `end`. */
export function* stretchesOf(start: number, end: number): Generator<Stretch> {
  for (let from = start; from < end; from += stretchBytes) {
    yield { from, to: Math.min(end, from + stretchBytes) };
  }
}

/**
 * Reads the lines that begin in a stretch, the last one to its end.
 *
 * @param start where the file's first line begins
 * @param room for a stretch and then some; only longer lines get memory of their own
 */
export function readStretch(
  file: number,
  { from, to }: Stretch,
  start: number,
  room: Buffer,
): Lines {
  // The byte before tells whether a line begins at the first.
  const offset = from === start ? from : from - 1;
  let size = fill(file, room.subarray(0, to - offset), offset);
  const first = from === start ? 0 : room.subarray(0, size).indexOf(lineFeed) + 1;
  const none = { bytes: room.subarray(0, 0), from: 0, offset };
  if ((first === 0 && from !== start) || first >= size) return none;
  for (let more = 1 << 12; room[size - 1] !== lineFeed; more *= 4) {
    if (size === room.length) return readLong(file, room.subarray(first), offset + first);
    const end = Math.min(room.length, size + more);
    const read = fill(file, room.subarray(size, end), offset + size);
    if (read === 0) {
      room[size] = lineFeed;
      size += 1;
      break;
    }
    const found = room.subarray(size, size + read).indexOf(lineFeed);
    size += found === -1 ? read : found + 1;
  }
  return { bytes: room.subarray(0, size), from: first, offset };
}

/** Reads the last line on, piece by piece. @param head lines and the beginning of one */
function readLong(file: number, head: Buffer, offset: number): Lines {
  const lines = Buffer.from(head);
  const begin = lines.lastIndexOf(lineFeed) + 1;
  const pieces = [lines.subarray(begin)];
  let position = offset + lines.length;
  for (;;) {
    if (position - offset - begin > maxRowBytes) {
      const unreadable = tooLong(offset + begin, pieces);
      return { bytes: lines.subarray(0, begin), from: 0, offset, unreadable };
    }
    const piece = Buffer.allocUnsafe(pieceBytes);
    const read = piece.subarray(0, fill(file, piece, position));
    const found = read.indexOf(lineFeed);
    pieces.push(found === -1 ? read : read.subarray(0, found + 1));
    if (found !== -1) break;
    if (read.length === 0) {
      pieces.push(Buffer.from("\n"));
      break;
    }
    position += read.length;
  }
  return { bytes: Buffer.concat([lines.subarray(0, begin), ...pieces]), from: 0, offset };
}

/** Fills the room, or what the file has left for it. */
function fill(file: number, room: Buffer, position: number): number {
  let filled = 0;
  while (filled < room.length) {
    const read = readSync(file, room, filled, room.length - filled, position + filled);
    if (read === 0) break;
    filled += read;
  }
  return filled;
}
