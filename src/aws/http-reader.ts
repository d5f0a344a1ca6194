import { broken, HttpHead } from "./http-head.ts";
import type { Pieces, TakePiece } from "./pieces.ts";

/** An answer, apart from what was taken of its body piece by piece. */
export interface HttpAnswer {
  readonly head: HttpHead;
  /** The whole body where nobody took it piece by piece. */
  readonly body: Buffer;
}

/** Gets the body of a 2xx answer piece by piece; see {@link TakePiece}. */
export type TakeBody = (piece: Buffer, head: HttpHead) => void | Promise<void>;

/** Answers that are kept whole are error texts; data has a taker. */
const maxKept = 4 << 20;
const maxHead = 64 << 10;
const nothing = Buffer.alloc(0);

/** Takes one answer apart. */
export class HttpReader {
  private readonly method: string;
  private readonly pieces: Pieces;
  private readonly onPiece: TakePiece | undefined;
  private head: HttpHead | undefined;
  private state: "head" | "body" | "size" | "chunk" | "chunk end" | "trailer" = "head";
  private pending: Buffer = nothing;
  /** Bytes of the body, or of the chunk, that are still to come. */
  private left = 0;
  private readonly kept: Buffer[] = [];
  private keptBytes = 0;

  constructor(method: string, pieces: Pieces, onData: TakeBody | undefined) {
    this.method = method;
    this.pieces = pieces;
    this.onPiece = onData && ((piece) => onData(piece, this.head!));
  }

  result(): HttpAnswer {
    const body = this.kept.length === 0 ? nothing : Buffer.concat(this.kept);
    return { head: this.head!, body };
  }

  /**
   * Leaves bytes that have arrived where they lie, in the pieces, without a look at them; false where
   * they may be anything else than the next bytes of a body that is taken.
   */
  leave(bytes: number): boolean {
    if (this.state !== "body" || bytes > this.left || !this.isTaken()) return false;
    if (!this.pieces.extend(bytes, this.onPiece!)) return false;
    this.left -= bytes;
    return true;
  }

  /** Whether a body that was {@link leave | left} in the pieces is complete. */
  get complete(): boolean {
    return this.state === "body" && this.left === 0;
  }

  /** Takes what has arrived; true when the answer is complete. */
  take(chunk: Buffer): boolean {
    let rest = chunk;
    for (;;) {
      if (this.state === "body" || this.state === "chunk") {
        if (rest.length === 0) return false;
        const now = rest.subarray(0, this.left);
        this.left -= now.length;
        rest = rest.subarray(now.length);
        this.body(now);
        if (this.left > 0) return false;
        if (this.state === "body") return this.end(rest);
        this.state = "chunk end";
        continue;
      }
      if (this.state === "head") {
        const head = this.until(rest, "\r\n\r\n", maxHead);
        if (head === undefined) return false;
        rest = head.rest;
        if (this.readHead(head.text)) return this.end(rest);
        continue;
      }
      const line = this.until(rest, "\r\n", 8 << 10);
      if (line === undefined) return false;
      rest = line.rest;
      if (this.state === "size") {
        if (!/^[0-9a-f]{1,8}(?:;[\t -~]*)?$/i.test(line.text))
          throw broken("a chunk without a size");
        this.left = Number.parseInt(line.text, 16);
        this.state = this.left === 0 ? "trailer" : "chunk";
      } else if (this.state === "chunk end") {
        if (line.text !== "") throw broken("a chunk that is longer than its size");
        this.state = "size";
      } else if (line.text === "") {
        return this.end(rest);
      }
    }
  }

  private end(rest: Buffer): true {
    if (rest.length > 0) throw broken("more bytes than the answer has");
    return true;
  }

  private isTaken(): boolean {
    return this.onPiece !== undefined && this.head!.status < 300;
  }

  private body(chunk: Buffer): void {
    if (this.isTaken()) return this.pieces.add(chunk, this.onPiece!);
    this.keptBytes += chunk.length;
    if (this.keptBytes > maxKept) throw broken("an answer that is longer than expected");
    this.kept.push(Buffer.from(chunk));
  }

  /** Text up to a mark; what comes before the mark has arrived is kept. */
  private until(chunk: Buffer, mark: string, limit: number) {
    const all = this.pending.length === 0 ? chunk : Buffer.concat([this.pending, chunk]);
    const end = all.indexOf(mark);
    if (end > limit || (end < 0 && all.length > limit)) throw broken("a line that does not end");
    if (end < 0) {
      this.pending = Buffer.from(all);
      return undefined;
    }
    this.pending = nothing;
    const next = end + mark.length;
    const rest = next === all.length ? nothing : all.subarray(next);
    return { text: all.toString("latin1", 0, end), rest };
  }

  /** Reads status and headers; true when no body follows. */
  private readHead(text: string): boolean {
    const head = new HttpHead(text);
    const { status } = head;
    if (status < 200) {
      if (status === 101) throw broken("an upgrade that nobody asked for");
      return false;
    }
    this.head = head;
    if (this.method === "HEAD" || status === 204 || status === 304) return true;
    const encoding = head.get("transfer-encoding")?.toLowerCase();
    const length = head.get("content-length");
    if (encoding !== undefined) {
      if (encoding !== "chunked" || length !== undefined) throw broken("a body with two ends");
      this.state = "size";
      return false;
    }
    if (length === undefined || !/^\d{1,15}$/.test(length)) throw broken("a body without a length");
    this.state = "body";
    this.left = Number(length);
    return this.left === 0;
  }
}
