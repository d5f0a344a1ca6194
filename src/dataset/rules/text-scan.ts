/**
 * One look at every character of a row, which is where the time of a check goes: everything that
 * the other rules need to know before they look closer, the row's identity and its sketch.
 */

const word = 1;
const digit = 2;
/** May be part of a key or a password: letters, digits, _ - / + */
const token = 4;
const control = 8;
const at = 16;
const angle = 32;
const bracket = 64;
const backtick = 128;
const foreign = 256;
const longToken = 512;
/** A letter of a script whose letters are words of their own. */
const alone = 1024;
const slash = 2048;
const dash = 4096;

export const seen = {
  digit,
  control,
  at,
  angle,
  bracket,
  backtick,
  foreign,
  longToken,
  slash,
  dash,
} as const;

/** Keys have at least so many characters. */
const tokenLength = 20;
/** Shingles are so many words. */
const shingleWords = 5;
/** Bins of a sketch, a byte each. */
export const sketchBytes = 64;
/** Below so many shingles two texts are alike by chance. */
const fewShingles = 20;

const classes = new Uint16Array(65536).fill(word | foreign);
classes.fill(alone | foreign, 0x2e80, 0xd800);
for (let code = 0; code < 128; code++) {
  const char = String.fromCharCode(code);
  let bits = 0;
  if (/[A-Za-z0-9]/.test(char)) bits |= word;
  if (/[0-9]/.test(char)) bits |= digit;
  if (/[A-Za-z0-9_\-/+]/.test(char)) bits |= token;
  if (char === "@") bits |= at;
  if (char === "<") bits |= angle;
  if (char === "[") bits |= bracket;
  if (char === "`") bits |= backtick;
  if (char === "/") bits |= slash;
  if (char === "-") bits |= dash;
  if ((code < 32 && !"\t\n\r".includes(char)) || code === 127) bits |= control;
  classes[code] = bits;
}

// B to the fifth power, to take the oldest word out of a rolling hash.
const base = 0x9e3779b1 | 0;
const oldest = [1, 2, 3, 4].reduce((power) => Math.imul(power, base), base);

const recentSize = 1024;
/** Longer texts are read in pieces. */
const pieceLength = 1 << 18;

export class TextScan {
  /** Bits of {@link seen} of the newest text. */
  flags = 0;
  /** Shingles of the newest text, and how many of them it had before. */
  shingles = 0;
  repeated = 0;
  /** Of all texts since {@link begin}. */
  #h1 = 0;
  #h2 = 0;
  #allShingles = 0;
  readonly #bins = new Uint16Array(sketchBytes);
  readonly #bytes = Buffer.alloc(2 * (pieceLength + 1));
  readonly #units = new Uint16Array(this.#bytes.buffer, this.#bytes.byteOffset, pieceLength + 1);
  readonly #ring = new Int32Array(shingleWords);
  readonly #recent = new Int32Array(recentSize);
  #epoch = 1;

  /** Begins a row. */
  begin(): void {
    this.#h1 = 0x811c9dc5 | 0;
    this.#h2 = 0x2c1b3c6d | 0;
    this.#allShingles = 0;
    this.#bins.fill(0xffff);
  }

  /** What was read so far, in 53 bits: equal texts have equal identities. */
  get identity(): number {
    return (this.#h1 & 0x1fffff) * 0x100000000 + (this.#h2 >>> 0);
  }

  /** Sets texts and roles apart: ["ab", "c"] is not ["a", "bc"]. */
  separate(mark: number): void {
    this.#h1 = Math.imul(this.#h1 ^ mark, 0x85ebca6b) ^ 0x5bd1e995;
    this.#h2 = Math.imul(this.#h2 + mark, 0xc2b2ae35) ^ (this.#h2 >>> 15);
  }

  /**
   * Reads a text.
   *
   * @param sketch it counts for what the row is like
   */
  add(text: string, sketch: boolean): void {
    if (text.length <= pieceLength) return this.#read(text, sketch);
    let [flags, shingles, repeated] = [0, 0, 0];
    for (let start = 0; start < text.length; start += pieceLength) {
      this.#read(text.slice(start, start + pieceLength), sketch);
      flags |= this.flags;
      shingles += this.shingles;
      repeated += this.repeated;
    }
    this.flags = flags;
    this.shingles = shingles;
    this.repeated = repeated;
  }

  #read(text: string, sketch: boolean): void {
    const length = text.length;
    // An array of code units is read three times as fast as the text itself.
    const units = this.#units;
    this.#bytes.write(text, 0, "utf16le");
    units[length] = 32;
    const bins = this.#bins;
    const ring = this.#ring;
    const recent = this.#recent;
    const salt = Math.imul((this.#epoch += 1), 0x27d4eb2f);
    let h1 = this.#h1;
    let h2 = this.#h2;
    let flags = 0;
    let words = 0;
    let slot = 0;
    let rolling = 0;
    let repeated = 0;
    let tokenStart = 0;
    for (let index = 0; index <= length; index++) {
      let code = units[index]!;
      let hash = 0;
      let kind = classes[code]!;
      if ((kind & word) !== 0) {
        do {
          hash = (Math.imul(hash ^ code, 0x01000193) + 0x7f4a7c15) | 0;
          flags |= kind;
          index += 1;
          code = units[index]!;
          kind = classes[code]!;
        } while ((kind & word) !== 0);
      } else if ((kind & alone) !== 0) {
        hash = Math.imul(code, 0x01000193);
      }
      flags |= kind;
      h1 = Math.imul(h1 ^ hash, 0x01000193) + code;
      h2 = Math.imul(h2 + hash, 0x2c1b3c6d) ^ code;
      if ((kind & token) === 0) {
        if (index - tokenStart >= tokenLength) flags |= longToken;
        tokenStart = index + 1;
      }
      if (hash === 0) continue;
      rolling = (Math.imul(rolling, base) + hash - Math.imul(ring[slot]!, oldest)) | 0;
      ring[slot] = hash;
      slot = slot === shingleWords - 1 ? 0 : slot + 1;
      words += 1;
      if (words < shingleWords) continue;
      let mixed = Math.imul(rolling ^ (rolling >>> 15), 0x846ca68b);
      mixed ^= mixed >>> 13;
      const known = mixed ^ salt;
      const cell = mixed & (recentSize - 1);
      if (recent[cell] === known) repeated += 1;
      else recent[cell] = known;
      if (!sketch) continue;
      const bin = (mixed >>> 10) & (sketchBytes - 1);
      const value = mixed >>> 16;
      if (value < bins[bin]!) bins[bin] = value;
    }
    ring.fill(0);
    this.flags = flags;
    this.#h1 = h1 | 0;
    this.#h2 = h2 | 0;
    this.shingles = Math.max(0, words - shingleWords + 1);
    this.repeated = repeated;
    if (sketch) this.#allShingles += this.shingles;
  }

  /** Writes the row's sketch: a byte a bin, 0 where it is empty; all 0 for a row of few words. */
  writeSketch(target: Uint8Array, offset: number): void {
    if (this.#allShingles < fewShingles) return void target.fill(0, offset, offset + sketchBytes);
    for (let bin = 0; bin < sketchBytes; bin++) {
      const value = this.#bins[bin]!;
      target[offset + bin] = value === 0xffff ? 0 : 1 + (value % 255);
    }
  }
}
