// What Node's own TLS takes for a download: the requests of bench/s3.ts and nothing else. No second
// look at an answer, no fsync, no repetition. What this takes no program on Node can save.
//   node bench/s3/bare.ts large|small BUCKET FOLDER COUNT|MIB discard|write
// "write" puts the bytes where they belong, counts their CRC-32, and asks S3 for the names of the small
// files while the first of them are fetched; "discard" knows the names and drops the bytes.
import { closeSync, ftruncateSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import { join } from "node:path";
import { Agent, request as ask } from "node:https";
import type { RequestOptions } from "node:https";
import { connect, createSecureContext } from "node:tls";
import type { ConnectionOptions, TLSSocket } from "node:tls";
import { Worker, isMainThread, workerData } from "node:worker_threads";
import { crc32 } from "node:zlib";
import { createSigner } from "../../src/aws/sign.ts";
import { blocksOf, rangesOf } from "../../src/storage/blocks.ts";

interface Job {
  readonly kind: "large" | "small";
  readonly bucket: string;
  readonly folder: string;
  /** Objects, or MiB of the one. */
  readonly amount: number;
  readonly write: boolean;
  /** Of so many threads this is which? */
  readonly threads: number;
  readonly thread: number;
}

const fileBytes = 10 << 10;
const memoryBytes = 256 << 10;
const { hostname, port } = new URL(process.env["AWS_ENDPOINT_URL"]!);
const sign = createSigner("us-east-1");
const credentials = {
  accessKeyId: process.env["AWS_ACCESS_KEY_ID"]!,
  secretAccessKey: process.env["AWS_SECRET_ACCESS_KEY"]!,
};
const secureContext = createSecureContext({ ca: readFileSync(process.env["AWS_CA_BUNDLE"]!) });

function signedHeaders(path: string, query: string, headers: Record<string, string>): string {
  const unsigned = { method: "GET", host: `${hostname}:${port}`, path, query, headers };
  return sign({ ...unsigned, payload: "UNSIGNED-PAYLOAD" }, credentials, Date.now());
}

function requestOf(path: string, headers: Record<string, string>): string {
  return `GET ${path} HTTP/1.1\r\n${signedHeaders(path, "", headers)}\r\n`;
}

/** The names of the small objects, a thousand at a time. */
async function* listed(bucket: string): AsyncGenerator<string[]> {
  const agent = new Agent({ keepAlive: true });
  for (let token: string | undefined; ;) {
    const from = token === undefined ? "" : `continuation-token=${encodeURIComponent(token)}&`;
    const query = `${from}list-type=2&prefix=moxi%2Fsmall%2F`;
    const lines = signedHeaders(`/${bucket}`, query, {}).trimEnd().split("\r\n");
    const headers = Object.fromEntries(lines.map((line) => line.split(/: (.*)/).slice(0, 2)));
    const options = { agent, hostname, port, path: `/${bucket}?${query}`, headers, secureContext };
    const text = await new Promise<string>((resolve, reject) => {
      const asked = ask(options as RequestOptions, (answer) => {
        answer.setEncoding("utf8");
        let all = "";
        answer.on("data", (piece: string) => (all += piece));
        answer.on("end", () => resolve(all));
      });
      asked.on("error", reject).end();
    });
    yield Array.from(text.matchAll(/<Key>moxi\/small\/([^<]*)<\/Key>/g), ([, name]) => name!);
    token = /<NextContinuationToken>([^<]*)</.exec(text)?.[1];
    if (token === undefined) return agent.destroy();
  }
}

interface Asked {
  readonly request: string;
  readonly bytes: number;
  /** Gets the body in pieces, which are overwritten afterwards. */
  take(piece: Buffer): void;
  end(): void;
}

/** What to ask for next; a promise where that is not known yet, nothing at the end. */
type Next = () => Asked | Promise<void> | undefined;

/** One connection, one request after another, until there are no more. */
function connection(next: Next, session?: Buffer) {
  const memory = Buffer.allocUnsafeSlow(memoryBytes);
  let filled = 0;
  let left = -1;
  let asked: Asked | undefined;
  let socket: TLSSocket | undefined;
  let known: ((session: Buffer) => void) | undefined;
  const first = new Promise<Buffer>((resolve) => (known = resolve));
  const done = new Promise<void>((resolve, reject) => {
    const ask = () => {
      const found = next();
      if (found instanceof Promise) return void found.then(ask, reject);
      asked = found;
      left = -1;
      if (asked === undefined) {
        socket!.destroy();
        return resolve();
      }
      socket!.write(asked.request, "latin1");
    };
    const took = (bytes: number) => {
      filled += bytes;
      if (left < 0) {
        const end = memory.subarray(0, filled).indexOf("\r\n\r\n");
        if (end < 0) return true;
        const head = memory.toString("latin1", 0, end);
        if (!/^HTTP\/1.1 20[06] /.test(head)) reject(new Error(head));
        memory.copyWithin(0, end + 4, filled);
        filled -= end + 4;
        left = asked!.bytes;
      }
      if (filled < left && memory.length - filled >= 16 << 10) return true;
      left -= filled;
      asked!.take(memory.subarray(0, filled));
      filled = 0;
      if (left === 0) {
        asked!.end();
        ask();
      }
      return true;
    };
    const onread = { buffer: () => memory.subarray(filled), callback: took };
    const options = { host: hostname, port: Number(port), secureContext, session, onread };
    // Its type does not know what it hands on to the socket.
    socket = connect(options as ConnectionOptions, ask);
    socket.on("session", (value: Buffer) => known!(value));
    socket.on("error", reject);
  });
  return { done, first };
}

async function work({ kind, bucket, folder, amount, write, threads, thread }: Job): Promise<void> {
  let index = thread;
  const large = kind === "large" && write ? openSync(join(folder, "file"), "r+") : -1;
  const ranges = rangesOf(blocksOf(amount * 2 ** 20, 16 << 20));
  const names: string[] = [];
  let page: Promise<void> | undefined;
  if (kind === "small" && write) {
    const pages = listed(bucket);
    const read = async () => {
      const { value, done } = await pages.next();
      names.push(...(value ?? []));
      page = done === true ? undefined : read();
    };
    page = read();
  } else if (kind === "small") {
    names.push(...Array.from({ length: amount }, (_, at) => `${at}`));
  }
  const next: Next = () => {
    if (kind === "small" && index >= names.length) return page;
    const at = index;
    index += threads;
    let crc = 0;
    if (kind === "large") {
      const wanted = ranges[at];
      if (wanted === undefined) return undefined;
      const bytes = wanted.length;
      let { offset } = wanted;
      const range = `bytes=${offset}-${offset + bytes - 1}`;
      return {
        request: requestOf(`/${bucket}/moxi/large/file`, { range }),
        bytes,
        take(piece) {
          if (!write) return;
          crc = crc32(piece, crc);
          writeSync(large, piece, 0, piece.length, offset);
          offset += piece.length;
        },
        end() {},
      };
    }
    const name = names[at]!;
    const file = join(folder, name);
    const descriptor = write ? openSync(`${file}.part`, "w") : -1;
    return {
      request: requestOf(`/${bucket}/moxi/small/${name}`, { "x-amz-checksum-mode": "ENABLED" }),
      bytes: fileBytes,
      take(piece) {
        if (!write) return;
        crc = crc32(piece, crc);
        writeSync(descriptor, piece);
      },
      end() {
        if (!write) return;
        closeSync(descriptor);
        renameSync(`${file}.part`, file);
      },
    };
  };
  // A session that is known spares the server a signature for each of the others.
  const one = connection(next);
  const session = await one.first;
  const count = kind === "large" ? 4 : 64;
  const others = Array.from({ length: count - 1 }, () => connection(next, session).done);
  await Promise.all([one.done, ...others]);
}

if (isMainThread) {
  const [kind, bucket, folder, amount, what] = process.argv.slice(2) as [Job["kind"], ...string[]];
  const write = what === "write";
  const job = { kind, bucket: bucket!, folder: folder!, amount: Number(amount), write };
  if (kind === "large") {
    const file = openSync(join(job.folder, "file"), "w");
    ftruncateSync(file, job.amount * 2 ** 20);
    closeSync(file);
    for (const thread of [0, 1]) {
      new Worker(new URL(import.meta.url), { workerData: { ...job, threads: 2, thread } });
    }
  } else {
    await work({ ...job, threads: 1, thread: 0 });
  }
} else {
  await work(workerData as Job);
}
