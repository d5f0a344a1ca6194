import type { Socket } from "node:net";
import { connect } from "./connect.ts";
import type { Network, Peer } from "./connect.ts";
import { broken, HttpReader } from "./http-reader.ts";
import type { HttpAnswer } from "./http-reader.ts";
import { Pieces } from "./pieces.ts";

// HTTP/1.1 for the requests that carry the bytes: node:https makes a stream object and a buffer of
// every 16 KiB that arrive (3.9 CPU-seconds a GiB here, against 1.9), and a TLS connection for
// every large upload unless told otherwise. This reads into memory of its own: see pieces.ts.

export interface HttpRequest {
  readonly method: string;
  /** Path and query, encoded. */
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Buffer | undefined;
  /**
   * Gets the body of a 2xx answer piece by piece. A piece is overwritten after the call, or once the
   * promise that the call returns has settled.
   */
  readonly onData?: ((piece: Buffer, status: number) => void | Promise<void>) | undefined;
  readonly onSent?: ((bytes: number) => void) | undefined;
}

const slice = 512 << 10;
/** Connections without a byte in either direction for so long are given up. */
const idleMs = 60_000;
/** While so many pieces of one connection wait for the disk, nothing more is read. */
const mostBusy = 3;

/** One connection that carries one request after another. */
class Connection {
  private readonly socket: Socket;
  private readonly pieces: Pieces;
  private answer: HttpReader | undefined;
  private settle: { done(answer: HttpAnswer): void; fail(error: Error): void } | undefined;
  /** Whether another request may follow. */
  usable = true;
  used = 0;

  private constructor(socket: Socket, pieces: Pieces) {
    this.socket = socket;
    this.pieces = pieces;
    socket.on("error", (error) => this.lost(error));
    socket.on("close", () => this.lost(broken("the connection was closed")));
    socket.on("end", () => this.lost(broken("the connection was closed")));
    socket.setTimeout(idleMs, () => {
      // A slow disk is not the other side's silence.
      if (pieces.busy === 0) this.lost(broken("the connection fell silent", "ETIMEDOUT"));
    });
  }

  static async open(
    peer: Peer,
    network: Network,
    kept: { session: Buffer | undefined; readonly spare: Buffer[] },
  ): Promise<Connection> {
    let opened: Connection | undefined;
    const pieces = new Pieces(kept.spare);
    const read = { space: () => pieces.space(), took: (bytes: number) => opened?.took(bytes) };
    const socket = await connect(peer, network, { read, session: kept.session });
    opened = new Connection(socket, pieces);
    if (peer.secure) socket.on("session", (value: Buffer) => (kept.session = value));
    return opened;
  }

  async send(request: HttpRequest): Promise<HttpAnswer> {
    const { method, target, headers, body } = request;
    this.used += 1;
    let head = `${method} ${target} HTTP/1.1\r\n`;
    for (const name in headers) head += `${name}: ${headers[name]}\r\n`;
    if (body !== undefined) head += `content-length: ${body.length}\r\n`;
    const answered = new Promise<HttpAnswer>((done, fail) => (this.settle = { done, fail }));
    this.answer = new HttpReader(method, this.pieces, request.onData);
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
    try {
      return await answered;
    } finally {
      // The taker may be asked to go on elsewhere, and must have finished here.
      await this.pieces.done();
    }
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

  private took(bytes: number): void {
    if (this.answer === undefined) return this.lost(broken("an answer without a request"));
    try {
      // Sixty thousand times a GiB: without a look at the bytes where they cannot be anything else.
      const within = this.answer.isWithin(bytes) && this.pieces.extend(bytes);
      if (within) this.answer.skip(bytes);
      if (within || !this.answer.take(this.pieces.read(bytes))) {
        this.pieces.rest();
        if (this.pieces.busy >= mostBusy) this.wait();
        return;
      }
      this.pieces.flush();
    } catch (error) {
      return this.lost(error as Error);
    }
    const { answer, settle } = this;
    this.answer = undefined;
    this.settle = undefined;
    this.pieces.rest();
    if (!answer.keepAlive || this.socket.writableLength > 0) this.usable = false;
    settle?.done(answer.result());
  }

  private wait(): void {
    this.socket.pause();
    const goOn = () => this.socket.resume();
    this.pieces.done().then(goOn, (error: Error) => this.lost(error));
  }

  private lost(error: Error): void {
    this.usable = false;
    this.socket.destroy();
    const { answer, settle } = this;
    this.answer = undefined;
    this.settle = undefined;
    try {
      // What has come before the trouble is not asked for again.
      if (answer !== undefined) this.pieces.flush();
    } catch {
      // The first trouble is the one that is told.
    }
    settle?.fail(error);
  }
}

/** Connections to one host. As many are open as requests run at once; idle ones are used again. */
export class ConnectionPool {
  private readonly peer: Peer;
  private readonly network: Network;
  private readonly idle: Connection[] = [];
  private readonly all = new Set<Connection>();
  private readonly kept = { session: undefined as Buffer | undefined, spare: [] as Buffer[] };

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
        connection = await Connection.open(this.peer, this.network, this.kept);
        this.all.add(connection);
      }
      const again = connection.used > 0;
      let received = 0;
      const { onData } = request;
      const counting =
        onData === undefined
          ? {}
          : {
              onData: (piece: Buffer, status: number) => {
                received += piece.length;
                return onData(piece, status);
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
