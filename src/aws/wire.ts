import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import type { Network } from "./connect.ts";
import { systemCode } from "../base/errors.ts";
import { translate } from "./errors.ts";
import type { Doing } from "./errors.ts";
import { ConnectionPool } from "./http.ts";
import type { HttpRequest } from "./http.ts";
import { broken } from "./http-head.ts";
import type { HttpHead } from "./http-head.ts";
import type { HttpAnswer, TakeBody } from "./http-reader.ts";
import { createSigner } from "./sign.ts";
import type { Credentials } from "./sign.ts";
import { Throttle } from "./throttle.ts";

/** Where the bytes of one bucket go and how. Plain data: a worker thread gets a copy. */
export interface WireTarget {
  readonly bucket: string;
  /** The bucket's address: "https://bucket.s3.eu-west-1.amazonaws.com", "https://127.0.0.1:7070/bucket". */
  readonly url: string;
  /** What requests are signed for. */
  readonly region: string;
  readonly settings: Required<Pick<Doing, "settings" | "credentials">>;
  readonly network: Network;
  /** For every request: the bucket's owner, say. */
  readonly headers: Readonly<Record<string, string>>;
  /** For requests that make an object: its encryption, say. */
  readonly putHeaders: Readonly<Record<string, string>>;
  readonly attempts: number;
  /** The first pause before a request is repeated, in milliseconds; doubled each time. */
  readonly pauseMs: number;
}

export interface WireCredentials {
  /** At once where they are known. */
  get(): Credentials | Promise<Credentials>;
  /** AWS has called these expired: better ones, or the same where there are none. */
  renew(): Promise<Credentials>;
}

export interface ReadResult {
  readonly etag: string;
  /** Checksums of the whole object, in base64, as far as the service keeps them and the whole was read. */
  readonly stored: Readonly<Record<"crc" | "crc64" | "sha256", string | undefined>>;
}

/** CRC-32 as S3 writes it: four bytes, big end first, in base64. */
export function crcText(crc: number): string {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(crc >>> 0);
  return bytes.toString("base64");
}

const emptyHash = createHash("sha256").digest("hex");
const transient =
  /^(InternalError|ServiceUnavailable|SlowDown|RequestTimeout|IncompleteBody|OperationAborted|BadDigest|XAmzContentChecksumMismatch|XAmzContentSHA256Mismatch|InvalidDigest|ChecksumMismatch)$/;
const slow = /^(SlowDown|TooManyRequests|RequestLimitExceeded|Throttling|ThrottlingException)$/;
const stale = /^(ExpiredToken|TokenRefreshRequired|RequestExpired)$/;
const longestPauseMs = 20_000;

/**
 * The requests that carry bytes: put an object, put a part, get a range. Everything else goes
 * through the SDK. Requests are repeated after trouble on the way, with growing random pauses; the
 * service's wish for fewer is granted; expired credentials are renewed once.
 */
export class Wire {
  private readonly target: WireTarget;
  private readonly credentials: WireCredentials;
  private readonly pool: ConnectionPool;
  private readonly throttle: Throttle;
  private readonly sign: ReturnType<typeof createSigner>;
  private readonly host: string;
  private readonly path: string;
  private readonly secure: boolean;
  /** The service's clock less ours. */
  private skewMs = 0;
  private readonly random: () => number;

  constructor(
    target: WireTarget,
    credentials: WireCredentials,
    { connections, random = Math.random }: { connections: number; random?: () => number },
  ) {
    const url = new URL(target.url);
    this.target = target;
    this.credentials = credentials;
    this.random = random;
    this.secure = url.protocol === "https:";
    const port = url.port === "" ? (this.secure ? 443 : 80) : Number(url.port);
    const host = url.hostname.replace(/^\[|\]$/g, "");
    this.pool = new ConnectionPool({ host, port, secure: this.secure }, target.network);
    this.throttle = new Throttle(connections);
    this.sign = createSigner(target.region);
    this.host = url.host;
    this.path = url.pathname.replace(/\/$/, "");
  }

  /** Puts a small object; `ifAbsent` refuses to replace one. Throws E_S3_CHANGED where there is one. */
  async put(
    key: string,
    body: Buffer,
    options: { readonly ifAbsent: boolean; readonly onSent?: (bytes: number) => void },
  ): Promise<{ readonly crc: number }> {
    const crc = crc32(body);
    const headers: Record<string, string> = {
      ...this.target.putHeaders,
      "x-amz-checksum-crc32": crcText(crc),
    };
    if (options.ifAbsent) headers["if-none-match"] = "*";
    await this.send("PUT", key, { headers, body, onSent: options.onSent, doing: "write" });
    return { crc };
  }

  /** Sends one part of a multipart upload. */
  async putPart(
    key: string,
    part: { readonly uploadId: string; readonly number: number; readonly body: Buffer },
    onSent?: (bytes: number) => void,
  ): Promise<{ readonly crc: number; readonly etag: string }> {
    const crc = crc32(part.body);
    const answer = await this.send("PUT", key, {
      query: `partNumber=${part.number}&uploadId=${encode(part.uploadId)}`,
      headers: { "x-amz-checksum-crc32": crcText(crc) },
      body: part.body,
      onSent,
      doing: `write part ${part.number} of`,
    });
    return { crc, etag: answer.head.get("etag") ?? "" };
  }

  /**
   * Reads a range, or a whole object. After a break it goes on where it stopped. `onData` gets each
   * piece with its place in the range, once more from the start where what came has to be thrown away;
   * the piece is overwritten after the call, or once the promise that the call returns has settled.
   */
  async get(
    key: string,
    range: { readonly offset: number; readonly length: number; readonly whole: boolean },
    etag: string | undefined,
    onData: (piece: Buffer, at: number) => void | Promise<void>,
  ): Promise<ReadResult> {
    let at = 0;
    let farthest = 0;
    /** Of `onData`: not the line's fault, and its pieces are not all there. */
    let failure: { readonly error: unknown } | undefined;
    const fail = (error: unknown): never => {
      failure ??= { error };
      throw error;
    };
    const handOn = (piece: Buffer) => {
      try {
        return onData(piece, at)?.catch(fail);
      } catch (error) {
        return fail(error);
      }
    };
    /** The part that is asked for, as the answer has to name it; nothing where that is the whole. */
    let part: string | undefined;
    /** Of the answer that brought the first bytes: later ones know no checksum of the whole. */
    let first: HttpHead | undefined;
    const take = (piece: Buffer, head: HttpHead) => {
      // Of a piece before: nothing that still comes is of use.
      if (failure !== undefined) throw failure.error;
      const isRight =
        part === undefined
          ? head.status === 200
          : head.status === 206 && head.get("content-range")?.startsWith(part);
      if (isRight !== true || at + piece.length > range.length) {
        throw broken("another range than was asked for");
      }
      if (at === 0) first = head;
      const work = handOn(piece);
      at += piece.length;
      farthest = Math.max(farthest, at);
      return work;
    };
    const last = range.offset + range.length - 1;
    const answer = await this.send("GET", key, {
      doing: "read",
      onData: take,
      reached: () => farthest,
      failure: () => failure,
      headers: () => {
        // All of it had come, and then no end: nothing is left that could be asked for.
        if (at === range.length) at = 0;
        const from = range.offset + at;
        part = range.whole && at === 0 ? undefined : `bytes ${from}-${last}/`;
        return {
          ...(part === undefined
            ? { "x-amz-checksum-mode": "ENABLED" }
            : { range: `bytes=${from}-${last}` }),
          ...(etag === undefined ? {} : { "if-match": etag }),
        };
      },
      check: () => (at === range.length ? undefined : `${at} of ${range.length} bytes`),
    });
    const head = first ?? answer.head;
    const stored = (name: string) => (head.status === 200 ? head.get(name) : undefined);
    return {
      etag: answer.head.get("etag") ?? "",
      stored: {
        crc: stored("x-amz-checksum-crc32"),
        crc64: stored("x-amz-checksum-crc64nvme"),
        sha256: stored("x-amz-checksum-sha256"),
      },
    };
  }

  close(): void {
    this.pool.close();
  }

  private async send(method: string, key: string, options: SendOptions): Promise<HttpAnswer> {
    const { doing } = options;
    const { bucket, settings } = this.target;
    const turn = this.throttle.enter();
    if (turn !== undefined) await turn;
    try {
      let renewed = false;
      let turned = false;
      let reached = 0;
      for (let attempt = 1; ; attempt++) {
        let trouble: unknown;
        let pause = this.target.pauseMs;
        try {
          const found = this.credentials.get();
          const credentials = found instanceof Promise ? await found : found;
          const request = this.signed(method, key, options, credentials);
          const answer = await this.pool.send(request);
          if (answer.head.status < 300) {
            const wrong = options.check?.(answer);
            if (wrong === undefined) {
              this.throttle.succeeded();
              return answer;
            }
            trouble = broken(`the answer was cut short: ${wrong}`);
          } else {
            const failure = failureOf(answer);
            const code = failure.name;
            if (stale.test(code) && !renewed) {
              renewed = true;
              await this.credentials.renew();
              continue;
            }
            if (code === "RequestTimeTooSkewed" && !turned) {
              turned = true;
              const date = Date.parse(answer.head.get("date") ?? "");
              if (!Number.isNaN(date)) {
                this.skewMs = date - Date.now();
                continue;
              }
            }
            if (slow.test(code) || answer.head.status === 503 || answer.head.status === 429) {
              this.throttle.slowedDown();
              pause *= 5;
            } else if (answer.head.status < 500 && !transient.test(code)) {
              throw failure;
            }
            trouble = failure;
          }
        } catch (error) {
          const failure = options.failure?.();
          if (failure !== undefined) throw failure.error;
          if (systemCode(error) === undefined || isHopeless(error)) throw error;
          trouble = error;
        }
        // A line that breaks now and then brings a long range too, in the end, in hours perhaps.
        const now = options.reached?.() ?? 0;
        if (now > reached) {
          attempt = 1;
          renewed = turned = false;
        }
        reached = now;
        if (attempt >= this.target.attempts) throw trouble;
        const most = Math.min(longestPauseMs, pause * 2 ** (attempt - 1));
        await new Promise((resolve) => setTimeout(resolve, most * (0.5 + this.random() / 2)));
      }
    } catch (error) {
      throw translate(error, { doing: `${doing} s3://${bucket}/${key}`, ...settings });
    } finally {
      this.throttle.leave();
    }
  }

  private signed(
    method: string,
    key: string,
    options: SendOptions,
    credentials: Credentials,
  ): HttpRequest {
    const { query = "", headers, body, onData, onSent } = options;
    const path = `${this.path}/${key.split("/").map(encode).join("/")}`;
    // Over TLS the CRC-32 guards the bytes; a plain connection gets the whole signature.
    const payload = this.secure
      ? "UNSIGNED-PAYLOAD"
      : body === undefined
        ? emptyHash
        : createHash("sha256").update(body).digest("hex");
    const signed = this.sign(
      {
        method,
        host: this.host,
        path,
        query,
        headers: {
          ...this.target.headers,
          ...(typeof headers === "function" ? headers() : headers),
        },
        payload,
      },
      credentials,
      Date.now() + this.skewMs,
    );
    const target = query === "" ? path : `${path}?${query}`;
    return { method, target, headers: signed, body, onData, onSent };
  }
}

interface SendOptions {
  /** For the error, before the object's name. */
  readonly doing: string;
  readonly query?: string;
  readonly headers: Record<string, string> | (() => Record<string, string>);
  readonly body?: Buffer | undefined;
  readonly onData?: TakeBody | undefined;
  readonly onSent?: ((bytes: number) => void) | undefined;
  /** How far it has come, in all attempts: they are counted anew where it has come farther. */
  readonly reached?: () => number;
  /** What is not the line's trouble, so that nothing is repeated, whatever else was told. */
  readonly failure?: () => { readonly error: unknown } | undefined;
  /** What is wrong with a 2xx answer, if something is. */
  readonly check?: (answer: HttpAnswer) => string | undefined;
}

/** encodeURIComponent and the four characters that AWS's signature wants encoded too. */
function encode(text: string): string {
  if (/^[\w.~-]*$/.test(text)) return text;
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** The name and message in S3's XML, or the status where there is none. */
function failureOf({ head, body }: HttpAnswer): Error {
  const text = body.toString("utf8");
  const part = (name: string) => new RegExp(`<${name}>([^<]*)</${name}>`).exec(text)?.[1];
  return Object.assign(new Error(part("Message") ?? `HTTP status ${head.status}`), {
    name: part("Code") ?? `Http${head.status}`,
    Region: part("Region") ?? head.get("x-amz-bucket-region"),
    $metadata: { httpStatusCode: head.status },
  });
}

/** Trouble that is the same the next time: a certificate, a disk. */
function isHopeless(error: unknown): boolean {
  return !/^(ECONN|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENETDOWN|EAI_AGAIN|ENOTFOUND|EPROXY)/.test(
    systemCode(error)!,
  );
}
