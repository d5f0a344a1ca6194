import type { Pieces, TakePiece } from "./pieces.ts";

/** An answer, apart from what was taken of its body piece by piece. */
export interface HttpAnswer {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  /** The whole body where nobody took it piece by piece. */
  readonly body: Buffer;
}

/** Answers that are kept whole are error texts; data has a taker. */
const maxKept = 4 << 20;
const maxHead = 64 << 10;

/** An error that counts as trouble on the way, after which a request is repeated. */
export const broken = (message: string, code = "ECONNRESET") =>
  Object.assign(new Error(message), { code });

/** Takes one answer apart; strict, because a lenient reader can be fooled about where a body ends. */
export class HttpReader {
  keepAlive = true;
  private readonly method: string;
  private readonly pieces: Pieces;
  private readonly onPiece: TakePiece | undefined;
  private status = 0;
  private headers = new Map<string, string>();
  private state: "head" | "body" | "size" | "chunk" | "chunk end" | "trailer" = "head";
  private pending: Buffer = Buffer.alloc(0);
  /** Bytes of the body, or of the chunk, that are still to come. */
  private left = 0;
  private kept: Buffer[] = [];
  private keptBytes = 0;

  constructor(
    method: string,
    pieces: Pieces,
    onData: ((piece: Buffer, status: number) => void | Promise<void>) | undefined,
  ) {
    this.method = method;
    this.pieces = pieces;
    this.onPiece = onData && ((piece) => onData(piece, this.status));
  }

  result(): HttpAnswer {
    return { status: this.status, headers: this.headers, body: Buffer.concat(this.kept) };
  }

  /** Whether the next bytes are of the body, with more of it to come. */
  isWithin(bytes: number): boolean {
    return this.state === "body" && bytes < this.left;
  }

  /** Counts bytes that are {@link isWithin} and were taken elsewhere. */
  skip(bytes: number): void {
    this.left -= bytes;
  }

  /** Takes what has arrived; true when the answer is complete. */
  take(chunk: Buffer): boolean {
    let rest = chunk;
    for (;;) {
      if (this.state === "body" || this.state === "chunk") {
        const now = rest.subarray(0, this.left);
        this.left -= now.length;
        rest = rest.subarray(now.length);
        if (now.length > 0) this.body(now);
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
        if (!/^[0-9a-f]{1,8}(?:;.*)?$/i.test(line.text)) throw broken("a chunk without a size");
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

  private body(chunk: Buffer): void {
    if (this.onPiece !== undefined && this.status < 300) {
      return this.pieces.add(chunk, this.onPiece);
    }
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
    this.pending = Buffer.alloc(0);
    return { text: all.toString("latin1", 0, end), rest: all.subarray(end + mark.length) };
  }

  /** Reads status and headers; true when no body follows. */
  private readHead(text: string): boolean {
    const [first = "", ...lines] = text.split("\r\n");
    const match = /^HTTP\/1\.([01]) (\d{3})(?: |$)/.exec(first);
    if (match === null) throw broken("not an HTTP/1.1 answer");
    this.status = Number(match[2]);
    if (this.status < 200) {
      if (this.status === 101) throw broken("an upgrade that nobody asked for");
      return false;
    }
    this.headers = new Map();
    for (const line of lines) {
      const colon = line.indexOf(":");
      if (colon <= 0) throw broken("a header without a name");
      const name = line.slice(0, colon).toLowerCase();
      const value = line.slice(colon + 1).trim();
      if (name === "content-length" && (this.headers.get(name) ?? value) !== value) {
        throw broken("two lengths for one body");
      }
      this.headers.set(name, value);
    }
    const connection = this.headers.get("connection")?.toLowerCase();
    this.keepAlive = match[1] === "1" ? connection !== "close" : connection === "keep-alive";
    if (this.method === "HEAD" || this.status === 204 || this.status === 304) return true;
    if (this.headers.get("transfer-encoding")?.toLowerCase() === "chunked") {
      this.state = "size";
      return false;
    }
    const length = this.headers.get("content-length");
    if (length === undefined || !/^\d{1,15}$/.test(length)) throw broken("a body without a length");
    this.state = "body";
    this.left = Number(length);
    return this.left === 0;
  }
}
