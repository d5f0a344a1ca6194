import type { Socket } from "node:net";
import { connect } from "./connect.ts";
import type { Network, Peer } from "./connect.ts";

// HTTP/1.1 for the requests that carry the bytes: node:https makes a stream object and a buffer of
// every 16 KiB that arrive (3.9 CPU-seconds a GiB here, against 2.5), and a TLS connection for
// every large upload unless told otherwise. This reads into one buffer a connection.

export interface HttpRequest {
  readonly method: string;
  /** Path and query, encoded. */
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Buffer | undefined;
  /** Gets the body of a 2xx answer piece by piece; the piece is overwritten after the call. */
  readonly onData?: ((chunk: Buffer, status: number) => void) | undefined;
  readonly onSent?: ((bytes: number) => void) | undefined;
}

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
const slice = 512 << 10;
/** Connections without a byte in either direction for so long are given up. */
const idleMs = 60_000;

/** An error that counts as trouble on the way, after which a request is repeated. */
export const broken = (message: string, code = "ECONNRESET") =>
  Object.assign(new Error(message), { code });

/** One connection that carries one request after another. */
class Connection {
  private readonly socket: Socket;
  private answer: Reader | undefined;
  private settle: { done(answer: HttpAnswer): void; fail(error: Error): void } | undefined;
  /** Whether another request may follow. */
  usable = true;
  used = 0;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("error", (error) => this.lost(error));
    socket.on("close", () => this.lost(broken("the connection was closed")));
    socket.on("end", () => this.lost(broken("the connection was closed")));
    socket.setTimeout(idleMs, () => this.lost(broken("the connection fell silent", "ETIMEDOUT")));
  }

  static async open(
    peer: Peer,
    network: Network,
    session: { value: Buffer | undefined },
  ): Promise<Connection> {
    let opened: Connection | undefined;
    const buffer = Buffer.allocUnsafe(128 << 10);
    const read = { buffer, onData: (chunk: Buffer) => opened?.read(chunk) };
    const socket = await connect(peer, network, { read, session: session.value });
    opened = new Connection(socket);
    if (peer.secure) socket.on("session", (value: Buffer) => (session.value = value));
    return opened;
  }

  async send(request: HttpRequest): Promise<HttpAnswer> {
    const { method, target, headers, body } = request;
    this.used += 1;
    let head = `${method} ${target} HTTP/1.1\r\n`;
    for (const name in headers) head += `${name}: ${headers[name]}\r\n`;
    if (body !== undefined) head += `content-length: ${body.length}\r\n`;
    const answered = new Promise<HttpAnswer>((done, fail) => (this.settle = { done, fail }));
    this.answer = new Reader(method, request.onData);
    // Where writing fails, the answer's failure is what is told.
    answered.catch(() => {});
    const first = Buffer.from(`${head}\r\n`, "latin1");
    if (body === undefined || body.length < slice) {
      this.socket.write(body === undefined ? first : Buffer.concat([first, body]));
      request.onSent?.(body?.length ?? 0);
    } else {
      this.socket.write(first);
      // Piece by piece, so that the encrypted copy of a part never lies in memory whole.
      for (let at = 0; at < body.length && this.settle !== undefined; at += slice) {
        const piece = body.subarray(at, at + slice);
        if (!this.socket.write(piece)) await this.drained();
        request.onSent?.(piece.length);
      }
      // Answered before all was sent: the rest of the body would be taken for the next request.
      if (this.settle === undefined && !this.socket.writableNeedDrain) await answered;
    }
    return answered;
  }

  close(): void {
    this.usable = false;
    this.socket.destroy();
  }

  private drained(): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        this.socket.off("drain", done);
        this.socket.off("close", done);
        resolve();
      };
      this.socket.on("drain", done);
      this.socket.on("close", done);
      if (this.socket.destroyed) done();
    });
  }

  private read(chunk: Buffer): void {
    if (this.answer === undefined) return this.lost(broken("an answer without a request"));
    try {
      if (!this.answer.take(chunk)) return;
    } catch (error) {
      return this.lost(error as Error);
    }
    const { answer, settle } = this;
    this.answer = undefined;
    this.settle = undefined;
    if (!answer.keepAlive || this.socket.writableLength > 0) this.usable = false;
    settle?.done(answer.result());
  }

  private lost(error: Error): void {
    this.usable = false;
    this.socket.destroy();
    const { settle } = this;
    this.answer = undefined;
    this.settle = undefined;
    settle?.fail(error);
  }
}

/** Takes one answer apart; strict, because a lenient reader can be fooled about where a body ends. */
class Reader {
  keepAlive = true;
  private readonly method: string;
  private readonly onData: HttpRequest["onData"];
  private status = 0;
  private headers = new Map<string, string>();
  private state: "head" | "body" | "size" | "chunk" | "chunk end" | "trailer" = "head";
  private pending: Buffer = Buffer.alloc(0);
  /** Bytes of the body, or of the chunk, that are still to come. */
  private left = 0;
  private kept: Buffer[] = [];
  private keptBytes = 0;

  constructor(method: string, onData: HttpRequest["onData"]) {
    this.method = method;
    this.onData = onData;
  }

  result(): HttpAnswer {
    return { status: this.status, headers: this.headers, body: Buffer.concat(this.kept) };
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
    if (this.onData !== undefined && this.status < 300) return this.onData(chunk, this.status);
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

/** Connections to one host. As many are open as requests run at once; idle ones are used again. */
export class ConnectionPool {
  private readonly peer: Peer;
  private readonly network: Network;
  private readonly idle: Connection[] = [];
  private readonly all = new Set<Connection>();
  private readonly session: { value: Buffer | undefined } = { value: undefined };

  constructor(peer: Peer, network: Network) {
    this.peer = peer;
    this.network = network;
  }

  /**
   * Sends a request once. A kept connection may have been closed by the other side in the meantime:
   * then it is sent again on a new one, which is safe because every request here can be repeated.
   */
  async send(request: HttpRequest): Promise<HttpAnswer> {
    for (;;) {
      let connection = this.idle.pop();
      while (connection !== undefined && !connection.usable) {
        this.all.delete(connection);
        connection = this.idle.pop();
      }
      if (connection === undefined) {
        connection = await Connection.open(this.peer, this.network, this.session);
        this.all.add(connection);
      }
      const again = connection.used > 0;
      let received = 0;
      const { onData } = request;
      const counting =
        onData === undefined
          ? {}
          : {
              onData: (chunk: Buffer, status: number) => {
                received += chunk.length;
                onData(chunk, status);
              },
            };
      try {
        const answer = await connection.send({ ...request, ...counting });
        if (connection.usable) this.idle.push(connection);
        else this.drop(connection);
        return answer;
      } catch (error) {
        this.drop(connection);
        const stale = again && received === 0 && (error as { code?: string }).code !== "ETIMEDOUT";
        if (!stale) throw error;
      }
    }
  }

  close(): void {
    for (const connection of this.all) connection.close();
    this.all.clear();
    this.idle.length = 0;
  }

  private drop(connection: Connection): void {
    connection.close();
    this.all.delete(connection);
  }
}
