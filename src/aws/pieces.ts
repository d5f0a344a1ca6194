/** Takes a piece of a body; where it returns a promise, the piece stays as it is until that settles. */
export type TakePiece = (piece: Buffer) => void | Promise<void>;

/** Most answers are short; a body that fills this gets more room. */
const firstBytes = 64 << 10;
const mostBytes = 256 << 10;
/** TLS brings at most 16 KiB at once, and less room would cut them in two. */
const leastSpace = 16 << 10;

/**
 * The memory that a connection reads into. A body arrives in records of 16 KiB; here they lie one
 * after another, so that they are checked and written many at a time without being copied.
 */
export class Pieces {
  private readonly spare: Buffer[];
  private memory: Buffer;
  /** Where the next bytes go. */
  private filled = 0;
  /** What has been gathered and not handed on. */
  private from = 0;
  private to = 0;
  private due = false;
  private take: TakePiece | undefined;
  private readonly working = new Set<Promise<void>>();
  private failure: { readonly error: unknown } | undefined;

  /** `spare` is memory that connections hand to each other. */
  constructor(spare: Buffer[]) {
    this.spare = spare;
    this.memory = Buffer.allocUnsafeSlow(firstBytes);
  }

  /** Pieces that somebody is still working on. */
  get busy(): number {
    return this.working.size;
  }

  /** Whether {@link done} has nothing to wait for and nothing to throw. */
  get idle(): boolean {
    return this.working.size === 0 && this.failure === undefined;
  }

  space(): Buffer {
    // Of a taker that threw the memory may be full, and Node reads into an empty buffer for ever.
    if (this.filled === this.memory.length) this.filled = 0;
    return this.filled === 0 ? this.memory : this.memory.subarray(this.filled);
  }

  /** The bytes that were read into {@link space}. */
  read(bytes: number): Buffer {
    const chunk = this.memory.subarray(this.filled, this.filled + bytes);
    this.filled += bytes;
    return chunk;
  }

  /**
   * The bytes that were read into {@link space} all belong to the body; false where they do not
   * follow what was gathered of it.
   */
  extend(bytes: number, take: TakePiece): boolean {
    if (this.from === this.to) {
      this.from = this.filled;
      this.to = this.filled;
    }
    if (this.to !== this.filled) return false;
    this.take = take;
    this.to += bytes;
    this.filled = this.to;
    return true;
  }

  /** Adds what belongs to the body. */
  add(piece: Buffer, take: TakePiece): void {
    this.take = take;
    if (piece.buffer !== this.memory.buffer) {
      // Put together elsewhere, because a head was cut; so is all that follows in this read.
      this.flush();
      return this.handOn(piece);
    }
    const at = piece.byteOffset - this.memory.byteOffset;
    if (this.from === this.to) {
      this.from = at;
      this.to = at;
    }
    // Sizes of chunks stand between.
    if (at !== this.to) this.memory.copyWithin(this.to, at, at + piece.length);
    this.to += piece.length;
  }

  /** After each read: hands on what has become enough, and makes room. */
  rest(): void {
    const full = this.memory.length - this.to < leastSpace;
    if (full || this.due) this.flush();
    this.due = false;
    if (full && this.memory.length < mostBytes) this.memory = this.another();
    this.filled = this.to;
  }

  /** On a slow line: after the next read what there is is handed on, however small. */
  hasten(): void {
    this.due = true;
  }

  /** Hands on what there is. */
  flush(): void {
    if (this.from === this.to) return;
    const piece = this.memory.subarray(this.from, this.to);
    this.from = 0;
    this.to = 0;
    this.handOn(piece);
  }

  /** Waits until nobody works on a piece any more; throws what went wrong there, ever. */
  async done(): Promise<void> {
    while (this.working.size > 0) await Promise.all(this.working);
    if (this.failure !== undefined) throw this.failure.error;
  }

  private handOn(piece: Buffer): void {
    const work = this.take!(piece);
    if (work === undefined) return;
    const { memory } = this;
    const own = piece.buffer === memory.buffer;
    if (own) this.memory = this.another();
    const settled = work
      .catch((error: unknown) => void (this.failure ??= { error }))
      .then(() => {
        this.working.delete(settled);
        if (own && memory.length === mostBytes) this.spare.push(memory);
      });
    this.working.add(settled);
  }

  private another(): Buffer {
    return this.spare.pop() ?? Buffer.allocUnsafeSlow(mostBytes);
  }
}
