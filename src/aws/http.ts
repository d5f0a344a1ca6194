import type { Socket } from "node:net";
import { connect } from "./connect.ts";
import type { Network, Peer } from "./connect.ts";
import { systemCode } from "../base/errors.ts";
import { broken } from "./http-head.ts";
import { HttpReader } from "./http-reader.ts";
import type { HttpAnswer, TakeBody } from "./http-reader.ts";
import { Pieces } from "./pieces.ts";

// HTTP/1.1 for the requests that carry the bytes: node:https makes a stream object and a buffer of
// every 16 KiB that arrive (3.9 CPU-seconds a GiB here, against 1.9), and a TLS connection for
// every large upload unless told otherwise. This reads into memory of its own: see pieces.ts.

export interface HttpRequest {
  readonly method: string;
  /** Path and query, encoded. */
  readonly target: string;
  /** A line each, with its end. */
  readonly headers: string;
  readonly body?: Buffer | undefined;
  readonly onData?: TakeBody | undefined;
  readonly onSent?: ((bytes: number) => void) | undefined;
}

const slice = 512 << 10;
/** Connections without a byte in either direction for so long are given up. */
const longestSilenceMs = 60_000;
/**
 * So often it is looked whether one has fallen silent: a timer that every read sets anew takes longer
 * than the reading.
 */
const lookMs = 250;
/** While so many pieces of one connection wait for the disk, nothing more is read. */
const mostBusy = 3;

/** What the connections to one host have in common. */
interface Shared {
  readonly silentMs: number;
  session: Buffer | undefined;
  readonly spare: Buffer[];
}

/** Told once how a request ended: with its answer, or with what went wrong. */
type Ended = (error: Error | undefined, answer?: HttpAnswer) => void;

/** One connection that carries one request after another. */
class Connection {
  private readonly socket: Socket;
  private readonly pieces: Pieces;
  private readonly silentMs: number;
  private answer: HttpReader | undefined;
  private ended: Ended | undefined;
  /** Whether a body is on its way in pieces. */
  private sending = false;
  /** Whether Node's own timer runs, which alone knows how far a write has come. */
  private timed = false;
  private heard = false;
  private quietMs = 0;
  /** Whether another request may follow. */
  usable = true;
  used = 0;
  /** Whether a byte of the answer has come. */
  answered = false;

  private constructor(socket: Socket, pieces: Pieces, silentMs: number) {
    this.socket = socket;
    this.pieces = pieces;
    this.silentMs = silentMs;
    socket.on("error", (error) => this.lost(error));
    socket.on("close", () => this.lost(broken("the connection was closed")));
    socket.on("end", () => this.lost(broken("the connection was closed")));
    socket.on("timeout", () => this.silent());
  }

  static async open(peer: Peer, network: Network, shared: Shared): Promise<Connection> {
    let opened: Connection | undefined;
    const pieces = new Pieces(shared.spare);
    const read = { space: () => pieces.space(), took: (bytes: number) => opened?.took(bytes) };
    const socket = await connect(peer, network, { read, session: shared.session });
    opened = new Connection(socket, pieces, shared.silentMs);
    if (peer.secure) socket.on("session", (value: Buffer) => (shared.session = value));
    return opened;
  }

  /** Sends a request, whose taker has finished when its end is told. */
  send(request: HttpRequest, ended: Ended): void {
    const { method, target, headers, body } = request;
    this.used += 1;
    this.answered = false;
    this.ended = ended;
    this.answer = new HttpReader(method, this.pieces, request.onData);
    const length = body === undefined ? "" : `content-length: ${body.length}\r\n`;
    const head = `${method} ${target} HTTP/1.1\r\n${headers}${length}\r\n`;
    this.quietMs = 0;
    this.timed = body !== undefined;
    if (this.timed) this.socket.setTimeout(this.silentMs);
    if (body === undefined || body.length < slice) {
      if (body === undefined) this.socket.write(head, "latin1");
      else this.socket.write(Buffer.concat([Buffer.from(head, "latin1"), body]));
      request.onSent?.(body?.length ?? 0);
      return;
    }
    this.socket.write(head, "latin1");
    void this.sendBody(body, request.onSent);
  }

  /** Called every {@link lookMs}. */
  look(): void {
    this.pieces.hasten();
    // A slow disk is not the other side's silence.
    const isAwaited = this.answer !== undefined && !this.timed && this.pieces.busy === 0;
    this.quietMs = isAwaited && !this.heard ? this.quietMs + lookMs : 0;
    this.heard = false;
    if (this.quietMs >= this.silentMs) this.silent();
  }

  close(): void {
    this.usable = false;
    this.socket.destroy();
  }

  private silent(): void {
    this.lost(broken("the connection fell silent", "ETIMEDOUT"));
  }

  /** Piece by piece, so that the encrypted copy of a part never lies in memory whole. */
  private async sendBody(body: Buffer, onSent: HttpRequest["onSent"]): Promise<void> {
    this.sending = true;
    for (let at = 0; at < body.length && this.ended !== undefined; at += slice) {
      const piece = body.subarray(at, at + slice);
      if (!this.socket.write(piece)) await this.drained();
      onSent?.(piece.length);
    }
    this.sending = false;
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
    this.answered = true;
    this.heard = true;
    try {
      // Sixty thousand times a GiB: without a look at the bytes where they cannot be anything else.
      const { answer } = this;
      const complete = answer.leave(bytes) ? answer.complete : answer.take(this.pieces.read(bytes));
      if (!complete) {
        this.pieces.rest();
        if (this.pieces.busy >= mostBusy) this.wait();
        return;
      }
      this.pieces.flush();
    } catch (error) {
      return this.lost(error as Error);
    }
    const answer = this.answer.result();
    this.answer = undefined;
    this.pieces.rest();
    // Answered before all was sent: the rest of the body would be taken for the next request.
    const early = this.sending || this.socket.writableLength > 0;
    if (!answer.head.keepAlive || early) this.usable = false;
    this.end(undefined, answer);
  }

  private wait(): void {
    this.socket.pause();
    const goOn = () => this.socket.resume();
    this.pieces.done().then(goOn, (error: Error) => this.lost(error));
  }

  private lost(error: Error): void {
    this.usable = false;
    this.socket.destroy();
    const { answer } = this;
    this.answer = undefined;
    try {
      // What has come before the trouble is not asked for again.
      if (answer !== undefined) this.pieces.flush();
    } catch {
      // The first trouble is the one that is told.
    }
    this.end(error);
  }

  /** The taker may be asked to go on elsewhere, and must have finished here. */
  private end(error: Error | undefined, answer?: HttpAnswer): void {
    const { ended } = this;
    this.ended = undefined;
    if (ended === undefined) return;
    if (this.timed) this.socket.setTimeout(0);
    if (this.pieces.idle) return ended(error, answer);
    this.pieces.done().then(
      () => ended(error, answer),
      (failure: Error) => ended(failure),
    );
  }
}

/** Connections to one host. As many are open as requests run at once; idle ones are used again. */
export class ConnectionPool {
  private readonly peer: Peer;
  private readonly network: Network;
  private readonly idle: Connection[] = [];
  private readonly all = new Set<Connection>();
  private readonly shared: Shared;
  private readonly timer: NodeJS.Timeout;
  private closed = false;

  /** `silentMs` is how long a connection may say nothing; given by tests. */
  constructor(peer: Peer, network: Network, silentMs = longestSilenceMs) {
    this.peer = peer;
    this.network = network;
    this.shared = { silentMs, session: undefined, spare: [] };
    this.timer = setInterval(() => this.all.forEach((one) => one.look()), lookMs).unref();
  }

  /**
   * Sends a request once. A kept connection may have been closed by the other side in the meantime:
   * then it is sent again on a new one, which is safe because every request here can be repeated.
   */
  send(request: HttpRequest): Promise<HttpAnswer> {
    return new Promise((done, fail) => {
      const begin = () => {
        const kept = this.takeIdle();
        if (kept !== undefined) return use(kept);
        this.open().then(use, fail);
      };
      const use = (connection: Connection) => {
        const again = connection.used > 0;
        connection.send(request, (error, answer) => {
          if (answer !== undefined && connection.usable) this.idle.push(connection);
          else this.drop(connection);
          if (answer !== undefined) return done(answer);
          const stale = again && !connection.answered && systemCode(error) !== "ETIMEDOUT";
          if (stale) begin();
          else fail(error!);
        });
      };
      begin();
    });
  }

  close(): void {
    this.closed = true;
    clearInterval(this.timer);
    for (const connection of this.all) connection.close();
    this.all.clear();
    this.idle.length = 0;
  }

  private takeIdle(): Connection | undefined {
    for (;;) {
      const connection = this.idle.pop();
      if (connection === undefined || connection.usable) return connection;
      this.all.delete(connection);
    }
  }

  private async open(): Promise<Connection> {
    const connection = await Connection.open(this.peer, this.network, this.shared);
    if (this.closed) {
      connection.close();
      throw broken("the connection was closed");
    }
    this.all.add(connection);
    return connection;
  }

  private drop(connection: Connection): void {
    connection.close();
    this.all.delete(connection);
  }
}
