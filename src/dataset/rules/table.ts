import { sketchBytes } from "../kernel/kernel.ts";
import type { PartResult } from "./part.ts";

const chunkRows = 1 << 14;
/** A sketch in bands of four bins: two rows that are alike have one in common. */
export const bandCount = sketchBytes / 4;
/** From one band of a chunk to the next; no power of two, so that all fit in the cache at once. */
const stride = chunkRows + 16;
/** Sketches are the most that is kept of a row: beyond so many rows they would fill the memory. */
export const maxSketches = 1_500_000;

/** What is kept of every row to compare it with all others: 20 bytes, and a sketch of 64. */
export class RowTable {
  rows = 0;
  readonly #identities: Float64Array[] = [];
  readonly #prompts: Float64Array[] = [];
  readonly #lines: Uint32Array[] = [];
  /** Of each chunk, band after band. */
  readonly #sketches: Int32Array[] = [];
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
        const bands = new Int32Array(part.sketches.buffer, part.sketches.byteOffset);
        const chunk = this.#sketches.at(-1)!;
        for (let row = 0; row < count; row++) {
          const [source, target] = [(from + row) * bandCount, at + row];
          for (let band = 0; band < bandCount; band++) {
            chunk[target + band * stride] = bands[source + band]!;
          }
        }
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
    if (this.rows < maxSketches) this.#sketches.push(new Int32Array(bandCount * stride));
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

  /** Writes one band of every sketch; 0 for a row without one. */
  copyBand(band: number, target: Int32Array): void {
    for (const [index, chunk] of this.#sketches.entries()) {
      const first = index * chunkRows;
      const rows = Math.min(chunkRows, this.sketched - first);
      target.set(chunk.subarray(band * stride, band * stride + rows), first);
    }
  }

  #key(row: number, band: number): number {
    return this.#sketches[Math.floor(row / chunkRows)]![(row % chunkRows) + band * stride]!;
  }

  /** How alike two rows are, 0 to 1, by their sketches. */
  likeness(a: number, b: number): number {
    let same = 0;
    for (let band = 0; band < bandCount; band++) {
      const different = this.#key(a, band) ^ this.#key(b, band);
      if ((different & 0xff) === 0) same += 1;
      if ((different & 0xff00) === 0) same += 1;
      if ((different & 0xff0000) === 0) same += 1;
      if (different >>> 24 === 0) same += 1;
    }
    return same / sketchBytes;
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
