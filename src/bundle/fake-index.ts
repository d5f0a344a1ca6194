/** A package index on loopback with real, tiny wheels, for tests. */
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { crc32 } from "node:zlib";
import { sha256 } from "../base/hash.ts";
import type { LockedWheel } from "./image-lock.ts";

export interface FakeIndex {
  readonly url: string;
  /** Every request: "GET /simple/a/ bytes=5-". */
  readonly requests: string[];
  /** Looks at a request first; true if it has answered. */
  before: (request: IncomingMessage, response: ServerResponse) => boolean;
  /** What is served, by file name; a test may change it. */
  readonly files: Map<string, Buffer>;
  format: "json" | "html";
  close(): Promise<void>;
}

/** A wheel with the least that pip accepts, and its entry in a lock. */
export function makeWheel(
  name: string,
  tag = "py3-none-any",
  bytes = 100,
): LockedWheel & { readonly data: Buffer } {
  const info = `${name}-1.0.dist-info`;
  const data = zip({
    [`${name}.py`]: `# ${"x".repeat(bytes)}\n`,
    [`${info}/METADATA`]: `Metadata-Version: 2.1\nName: ${name}\nVersion: 1.0\n`,
    [`${info}/WHEEL`]: `Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: ${tag}\n`,
    [`${info}/RECORD`]: "",
  });
  const file = `${name}-1.0-${tag}.whl`;
  return { name, version: "1.0", file, sha256: sha256(data), size: data.length, data };
}

export async function startIndex(wheels: readonly { file: string; data: Buffer }[]) {
  const files = new Map(wheels.map(({ file, data }) => [file, data]));
  const server = createServer((request, response) => {
    const path = decodeURIComponent(request.url ?? "/");
    const { range } = request.headers;
    index.requests.push(`${request.method} ${path}${range === undefined ? "" : ` ${range}`}`);
    if (index.before(request, response)) return;
    const [, folder, name = ""] = path.split("/");
    if (folder === "files") return sendFile(response, files.get(name), range);
    const own = [...files.keys()].filter((file) => file.startsWith(`${name}-`));
    if (own.length === 0) return void response.writeHead(404).end();
    if (index.format === "json") {
      response.setHeader("content-type", "application/vnd.pypi.simple.v1+json");
      const list = own.map((file) => ({
        filename: file,
        url: `../../files/${file}`,
        hashes: { sha256: sha256(files.get(file)!) },
      }));
      return void response.end(
        JSON.stringify({ meta: { "api-version": "1.0" }, name, files: list }),
      );
    }
    response.setHeader("content-type", "text/html");
    const links = own.map(
      (file) =>
        `<a href="../../files/${file}#sha256=${sha256(files.get(file)!)}" data-requires-python="&gt;=3.8">${file}</a><br/>`,
    );
    response.end(`<!DOCTYPE html><html><body>${links.join("\n")}</body></html>`);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const index: FakeIndex = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/simple`,
    requests: [],
    before: () => false,
    files,
    format: "json",
    close: () =>
      new Promise((done) => {
        server.close(() => done());
        server.closeAllConnections();
      }),
  };
  return index;
}

function sendFile(response: ServerResponse, data: Buffer | undefined, range: string | undefined) {
  if (data === undefined) return void response.writeHead(404).end();
  const from = Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1] ?? 0);
  response.setHeader("content-type", "application/octet-stream");
  response.setHeader("content-length", data.length - from);
  if (from > 0) {
    response.setHeader("content-range", `bytes ${from}-${data.length - 1}/${data.length}`);
  }
  response.writeHead(from > 0 ? 206 : 200).end(data.subarray(from));
}

/** A zip archive of stored files (PKWARE's APPNOTE 4.3). */
function zip(files: Record<string, string>): Buffer {
  const bodies: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  for (const [name, text] of Object.entries(files)) {
    const body = Buffer.from(text);
    // Version, flags, method, time, date, CRC, sizes, lengths of name and extra field.
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(0x21, 8);
    common.writeUInt32LE(crc32(body), 10);
    common.writeUInt32LE(body.length, 14);
    common.writeUInt32LE(body.length, 18);
    common.writeUInt16LE(Buffer.byteLength(name), 22);
    const local = Buffer.concat([Buffer.from("PK\u0003\u0004"), common, Buffer.from(name), body]);
    const rest = Buffer.alloc(14);
    rest.writeUInt32LE(at, 10);
    const version = Buffer.from([20, 0]);
    directory.push(Buffer.from("PK\u0001\u0002"), version, common, rest, Buffer.from(name));
    bodies.push(local);
    at += local.length;
  }
  const central = Buffer.concat(directory);
  const end = Buffer.alloc(18);
  end.writeUInt16LE(Object.keys(files).length, 4);
  end.writeUInt16LE(Object.keys(files).length, 6);
  end.writeUInt32LE(central.length, 8);
  end.writeUInt32LE(at, 12);
  return Buffer.concat([...bodies, central, Buffer.from("PK\u0005\u0006"), end]);
}
