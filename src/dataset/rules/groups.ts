/** Rows of one bucket, about: so many and their table stay in the fastest cache. */
const bucketRows = 2048;
const maxBuckets = 1024;
/** Bits in which keys leave their mark: of 1.3 million keys, 8 % meet another's. */
const maxMarks = 24;
/** Bits for those that met one: they stay in the second cache. */
const sharedMarks = 22;

/**
 * Finds rows of equal keys among millions, in time and memory that grow with the rows alone. Most keys
 * are nobody else's, which a mark in a bit map tells of most of them. The others are dealt into buckets
 * by their keys, since one table of all would be a cache miss a row.
 */
export class Groups {
  /** Written before each search, and lost in it: a key of every row, 0 for rows that stay alone. */
  readonly keys: Int32Array;
  /** Rows and their keys, mixed, in turns: bucket after bucket, in the order of the rows. */
  readonly #dealt: Int32Array;
  readonly #starts: Int32Array;
  readonly #shift: number;
  readonly #marks: Int32Array;
  readonly #shared = new Int32Array(2 ** (sharedMarks - 5));
  #slots = new Int32Array(4 * bucketRows);
  #chain = new Int32Array(bucketRows);

  /** @param rows at most, of all searches */
  constructor(rows: number) {
    this.keys = new Int32Array(rows);
    this.#dealt = new Int32Array(2 * rows);
    let bits = 1;
    while (2 ** bits < maxBuckets && rows / 2 ** bits > bucketRows) bits += 1;
    this.#starts = new Int32Array(2 ** bits + 1);
    this.#shift = 32 - bits;
    let marks = 10;
    while (marks < maxMarks && 2 ** marks < 8 * rows) marks += 1;
    this.#marks = new Int32Array(2 ** (marks - 5));
  }

  /**
   * Meets every pair of a row and an earlier one of the same key, from the newest of the earlier ones
   * on, until it is told to stop; no order of rows.
   *
   * @param meet returns false to go on with the next row
   */
  search(rows: number, meet: (row: number, earlier: number) => boolean): void {
    this.#sift(rows);
    this.#deal(rows);
    const starts = this.#starts;
    for (let bucket = 0; bucket + 1 < starts.length; bucket++) {
      this.#searchBucket(starts[bucket]!, starts[bucket + 1]!, meet);
    }
  }

  /** Mixes the keys, and writes 0 over those that are nobody else's. */
  #sift(rows: number): void {
    const { keys } = this;
    const marks = this.#marks.fill(0);
    const shared = this.#shared.fill(0);
    // Of a mark, the upper bits of a key say in which word it is and the bits below them which bit.
    const shift = Math.clz32(marks.length) + 1;
    const mask = shared.length - 1;
    for (let row = 0; row < rows; row++) {
      const mixed = mix(keys[row]!);
      keys[row] = mixed;
      const word = mixed >>> shift;
      const bit = 1 << (mixed >>> (shift - 5));
      const marked = marks[word]!;
      if ((marked & bit) === 0) marks[word] = marked | bit;
      else shared[(mixed >>> 5) & mask]! |= 1 << mixed;
    }
    for (let row = 0; row < rows; row++) {
      const mixed = keys[row]!;
      if ((shared[(mixed >>> 5) & mask]! & (1 << mixed)) === 0) keys[row] = 0;
    }
  }

  #deal(rows: number): void {
    const { keys } = this;
    const starts = this.#starts.fill(0);
    const shift = this.#shift;
    for (let row = 0; row < rows; row++) {
      const mixed = keys[row]!;
      if (mixed !== 0) starts[(mixed >>> shift) + 1]! += 1;
    }
    for (let bucket = 1; bucket < starts.length; bucket++) starts[bucket]! += starts[bucket - 1]!;
    const next = starts.slice();
    const dealt = this.#dealt;
    for (let row = 0; row < rows; row++) {
      const mixed = keys[row]!;
      if (mixed === 0) continue;
      const place = next[mixed >>> shift]!++;
      dealt[2 * place] = row;
      dealt[2 * place + 1] = mixed;
    }
  }

  #searchBucket(start: number, end: number, meet: (row: number, earlier: number) => boolean): void {
    const size = end - start;
    if (size < 2) return;
    const room = 2 ** Math.ceil(Math.log2(2 * size));
    if (this.#slots.length < room) this.#slots = new Int32Array(room);
    if (this.#chain.length < size) this.#chain = new Int32Array(size);
    const slots = this.#slots;
    const chain = this.#chain;
    const dealt = this.#dealt;
    // A slot has the newest row of its key, counted from 1 in the bucket; the chain has the one before.
    slots.fill(0, 0, room);
    for (let index = 1; index <= size; index++) {
      const at = 2 * (start + index - 1);
      const key = dealt[at + 1]!;
      let slot = key & (room - 1);
      let other = slots[slot]!;
      while (other !== 0 && dealt[2 * (start + other) - 1] !== key) {
        slot = (slot + 1) & (room - 1);
        other = slots[slot]!;
      }
      chain[index - 1] = other;
      slots[slot] = index;
      for (let earlier = other; earlier !== 0; earlier = chain[earlier - 1]!) {
        if (!meet(dealt[at]!, dealt[2 * (start + earlier) - 2]!)) break;
      }
    }
  }
}

/** One to one: equal if and only if the keys are. */
function mix(key: number): number {
  const mixed = Math.imul(key ^ (key >>> 16), 0x9e3779b1);
  return mixed ^ (mixed >>> 15);
}
