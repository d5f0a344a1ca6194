import { sketchBytes } from "../kernel/kernel.ts";
import type { PartResult } from "./part.ts";

const chunkRows = 1 << 14;
/** Sketches are the most that is kept of a row: beyond so many rows they would fill the memory. */
export const maxSketches = 1_500_000;

/** What is kept of every row to compare it with all others: 20 bytes, and a sketch of 64. */
export class RowTable {
  rows = 0;
  readonly #identities: Float64Array[] = [];
  readonly #prompts: Float64Array[] = [];
  readonly #lines: Uint32Array[] = [];
  readonly #sketches: Uint8Array[] = [];
  readonly #splitKeys: BigUint64Array[] = [];
  #hasKeys = false;

  /** @param lines added to the numbers of the lines */
  append(part: PartResult, lines: number): void {
    for (let from = 0; from < part.rows;) {
      const at = this.rows % chunkRows;
      if (at === 0) this.#grow();
      const count = Math.min(part.rows - from, chunkRows - at);
      const end = from + count;
      this.#identities.at(-1)!.set(part.identities.subarray(from, end), at);
      this.#prompts.at(-1)!.set(part.prompts.subarray(from, end), at);
      const own = this.#lines.at(-1)!;
      for (let row = 0; row < count; row++) own[at + row] = part.lines[from + row]! + lines;
      if (this.rows < maxSketches) {
        const bytes = part.sketches.subarray(from * sketchBytes, end * sketchBytes);
        this.#sketches.at(-1)!.set(bytes, at * sketchBytes);
      }
      if (part.splitKeys !== null) {
        this.#hasKeys = true;
        this.#splitKeys.at(-1)!.set(part.splitKeys.subarray(from, end), at);
      }
      this.rows += count;
      from = end;
    }
    if (part.splitKeys === null && this.#hasKeys) throw new Error("some parts have keys");
  }

  #grow(): void {
    this.#identities.push(new Float64Array(chunkRows));
    this.#prompts.push(new Float64Array(chunkRows));
    this.#lines.push(new Uint32Array(chunkRows));
    this.#splitKeys.push(new BigUint64Array(this.#hasKeys || this.rows === 0 ? chunkRows : 0));
    if (this.rows < maxSketches) this.#sketches.push(new Uint8Array(chunkRows * sketchBytes));
  }

  identity(row: number): number {
    return this.#identities[Math.floor(row / chunkRows)]![row % chunkRows]!;
  }

  prompt(row: number): number {
    return this.#prompts[Math.floor(row / chunkRows)]![row % chunkRows]!;
  }

  line(row: number): number {
    return this.#lines[Math.floor(row / chunkRows)]![row % chunkRows]!;
  }

  /** Four bytes of a row's sketch. */
  band(row: number, band: number): number {
    const chunk = this.#sketches[Math.floor(row / chunkRows)]!;
    const at = (row % chunkRows) * sketchBytes + band * 4;
    return chunk[at]! | (chunk[at + 1]! << 8) | (chunk[at + 2]! << 16) | (chunk[at + 3]! << 24);
  }

  /** How alike two rows are, 0 to 1, by their sketches. */
  likeness(a: number, b: number): number {
    const first = this.#sketches[Math.floor(a / chunkRows)]!;
    const second = this.#sketches[Math.floor(b / chunkRows)]!;
    const [from, to] = [(a % chunkRows) * sketchBytes, (b % chunkRows) * sketchBytes];
    let [same, empty] = [0, 0];
    for (let bin = 0; bin < sketchBytes; bin++) {
      const value = first[from + bin]!;
      if (value !== second[to + bin]!) continue;
      if (value === 0) empty += 1;
      else same += 1;
    }
    return empty === sketchBytes ? 0 : same / (sketchBytes - empty);
  }

  get sketched(): number {
    return Math.min(this.rows, maxSketches);
  }

  splitKeys(): BigUint64Array {
    const all = new BigUint64Array(this.rows);
    for (const [index, chunk] of this.#splitKeys.entries()) {
      const at = index * chunkRows;
      all.set(chunk.subarray(0, Math.min(chunk.length, this.rows - at)), at);
    }
    return all;
  }
}

/** Room for the hashes of so many rows: a power of two, at most half full. */
export function slotsFor(rows: number): Int32Array {
  return new Int32Array(2 ** Math.ceil(Math.log2(2 * rows + 2)));
}

/** The first row of each value, as it comes; NaN has none. */
export class FirstRows {
  readonly #slots: Int32Array;
  readonly #value: (row: number) => number;

  /** @param slots of {@link slotsFor}: used again from one search to the next */
  constructor(slots: Int32Array, value: (row: number) => number) {
    this.#slots = slots.fill(-1);
    this.#value = value;
  }

  /** The first row with the same value, or the row itself. */
  of(row: number): number {
    const value = this.#value(row);
    const slots = this.#slots;
    const mask = slots.length - 1;
    const mixed = Math.imul((value % 0x7fffffff) | 0, 0x9e3779b1);
    let slot = (mixed ^ (mixed >>> 15)) & mask;
    for (;;) {
      const other = slots[slot]!;
      if (other === -1) {
        slots[slot] = row;
        return row;
      }
      if (this.#value(other) === value) return other;
      slot = (slot + 1) & mask;
    }
  }
}
