import { wasm } from "./wasm.ts";

// The scan of texts and of rows is WebAssembly: kernel/ says what it does. A check's time goes there.

/** Bits that tell which rules have to look closer at a text; kernel/flags.ts says what each means. */
export const seen = {
  foreign: 1,
  control: 2,
  mail: 4,
  number: 8,
  special: 16,
  fence: 32,
  key: 64,
  invisible: 128,
  refusal: 256,
  openEnd: 512,
} as const;

const acrossPieces =
  seen.mail | seen.number | seen.special | seen.fence | seen.key | seen.invisible;

/** Roles as the kernel counts them. */
export const roleMarks = { system: 1, developer: 2, user: 3, assistant: 4, tool: 5 } as const;

/** Bins of a sketch, a byte each. */
export const sketchBytes = 64;
/** Below so many runs of five words two rows are alike by chance. */
const fewShingles = 20;

/** What a scan found in a text. */
export interface Scanned {
  /** In UTF-16 code units. */
  readonly length: number;
  /** Bits of {@link seen}. */
  readonly flags: number;
  /** Runs of five words, and how many of them stood before in the text. */
  readonly shingles: number;
  readonly repeated: number;
  /** A hash of how an answer begins, 0 for a shorter one. */
  readonly prefix: number;
}

export interface ScanOptions {
  /** The text counts for what the row is like. */
  readonly sketched: boolean;
  /** It is what the model learns to say. */
  readonly answer: boolean;
}

/** The beginning that `prefix` is the hash of. */
export function prefixOf(answer: string): string {
  return Buffer.from(answer)
    .subarray(0, 24)
    .toString()
    .replace(/\ufffd$/, "");
}

// kernel/memory.ts has the same numbers.
const promptAt = 4096;
const sketchAt = 4608;
const textsAt = 16384;
const textWords = 8;
const outputAt = 65536;
const outputSize = 1 << 19;
/** Longer texts are read in pieces, of both kernel and caller alike. */
const pieceLength = 1 << 17;
const rowsAt = outputAt + outputSize;
/** As many bytes as a parcel has. */
const rowsSize = (1 << 20) + (1 << 18);

interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer };
  begin(): void;
  separate(mark: number): void;
  rowIdentity(): number;
  scan(text: number, size: number, sketched: number, answer: number): void;
  writeSketch(fewShingles: number): void;
  readChat(from: number, overLines: number): number;
  chatEnd(): number;
}

/** Node has it; its types do not. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: unknown };
};

let compiled: object | undefined;

/** Reads texts and rows, one at a time. */
export class Kernel {
  /** What {@link writeSketch} wrote last. */
  readonly sketch: Uint8Array;
  /** Room for the rows that {@link readChat} reads. */
  readonly rows: Buffer;
  readonly #exports: Exports;
  readonly #bytes: Buffer;
  readonly #words: Uint32Array;
  readonly #prompt: Float64Array;
  readonly #scanned = { length: 0, flags: 0, shingles: 0, repeated: 0, prefix: 0 };

  constructor() {
    compiled ??= new WebAssembly.Module(Buffer.from(wasm, "base64"));
    this.#exports = new WebAssembly.Instance(compiled).exports as Exports;
    const { buffer } = this.#exports.memory;
    this.#bytes = Buffer.from(buffer);
    this.#words = new Uint32Array(buffer);
    this.#prompt = new Float64Array(buffer, promptAt, 1);
    this.sketch = new Uint8Array(buffer, sketchAt, sketchBytes);
    this.rows = this.#bytes.subarray(rowsAt, rowsAt + rowsSize);
  }

  /** Begins a row. */
  begin(): void {
    this.#exports.begin();
  }

  /** Sets texts and roles apart: ["ab", "c"] is not ["a", "bc"]. */
  separate(mark: number): void {
    this.#exports.separate(mark);
  }

  /** What was read since the row began, in 53 bits: equal texts have equal identities. */
  get identity(): number {
    return this.#exports.rowIdentity();
  }

  /** Sums up what the row is like, a byte a bin; all 0 for a row of few words. */
  writeSketch(): void {
    this.#exports.writeSketch(fewShingles);
  }

  /** Reads a text; what it found is valid until the next call. */
  scan(text: string, options: ScanOptions): Scanned {
    if (text.length <= pieceLength) return this.#scan(text, options);
    const all = { length: 0, flags: 0, shingles: 0, repeated: 0, prefix: 0 };
    for (let start = 0; start < text.length; start += pieceLength) {
      const part = this.#scan(text.slice(start, start + pieceLength), options);
      all.length += part.length;
      // Only the last piece ends the text, only the first begins it.
      all.flags = (all.flags & ~seen.openEnd) | (part.flags & ~(start > 0 ? seen.refusal : 0));
      all.shingles += part.shingles;
      all.repeated += part.repeated;
      if (start === 0) all.prefix = part.prefix;
    }
    // What is cut apart by the end of a piece is seen in neither.
    all.flags |= acrossPieces;
    return all;
  }

  #scan(text: string, { sketched, answer }: ScanOptions): Scanned {
    const size = this.#bytes.write(text, outputAt, outputSize);
    this.#exports.scan(outputAt, size, sketched ? 1 : 0, answer ? 1 : 0);
    return this.scanned(0);
  }

  /** Gives rows to {@link readChat}. */
  load(rows: Uint8Array): void {
    this.rows.set(rows);
    this.endRows(rows.length);
  }

  /** Says how many bytes of {@link rows} there are: what stands behind the last row ends it. */
  endRows(size: number): void {
    this.#bytes.fill(0, rowsAt + size, rowsAt + size + 64);
  }

  /**
   * Reads a row that is `{messages: [{role, content}, ...]}` and nothing else, sound and in canonical
   * form as it stands, which most rows of most files are.
   *
   * @param from where it begins in the rows that were loaded
   * @param overLines it may go over several lines
   * @returns how many messages it has; -1 for all other rows, sound or not
   */
  readChat(from: number, overLines: boolean): number {
    return this.#exports.readChat(rowsAt + from, overLines ? 1 : 0);
  }

  /** Where the row that was read ends: behind the blanks that follow it. */
  get end(): number {
    return this.#exports.chatEnd() - rowsAt;
  }

  /** The identity of all but the last message. */
  get prompt(): number {
    return this.#prompt[0]!;
  }

  roleMark(message: number): number {
    return this.#words[textsAt / 4 + message * textWords + 7]!;
  }

  /** What was found in a message; valid until the next call. */
  scanned(message: number): Scanned {
    const at = textsAt / 4 + message * textWords;
    const words = this.#words;
    const scanned = this.#scanned;
    scanned.length = words[at + 2]!;
    scanned.flags = words[at + 3]!;
    scanned.shingles = words[at + 4]!;
    scanned.repeated = words[at + 5]!;
    scanned.prefix = words[at + 6]!;
    return scanned;
  }

  /** The content of a message. */
  text(message: number): string {
    const at = textsAt / 4 + message * textWords;
    const [start, size] = [this.#words[at]!, this.#words[at + 1]!];
    const ascii = (this.#words[at + 3]! & seen.foreign) === 0;
    return this.#bytes.toString(ascii ? "latin1" : "utf8", start, start + size);
  }
}
