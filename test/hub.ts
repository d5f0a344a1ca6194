import { createHash } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

export interface HubOptions {
  readonly id: string;
  readonly files: Readonly<Record<string, Uint8Array>>;
  /** Where it is set the model is gated: only with it files are given. */
  readonly token?: string;
  /** Names of files that are kept as large ones, told by their SHA-256. */
  readonly large?: readonly string[];
  /** What becomes of an answer with a file's bytes, after so many of them were given. */
  readonly spoil?: (path: string, given: number) => "break" | "change" | undefined;
}

/** A model hub on this machine with one model, as far as Hugging Face's own client asks for it. */
export interface Hub {
  readonly url: string;
  readonly sha: string;
  /** The files that were asked for since the last time, in order, with the range. */
  asked(): string[];
  /** The tokens that came with requests for files. */
  readonly tokens: ReadonlySet<string>;
  close(): Promise<void>;
}

export async function startHub(options: HubOptions): Promise<Hub> {
  const { id, files, token, large = [], spoil } = options;
  const sha = "0123456789abcdef0123456789abcdef01234567";
  let asked: string[] = [];
  let given = 0;
  const tokens = new Set<string>();
  const entries = Object.entries(files).map(([path, bytes]) => {
    const size = bytes.length;
    const blob = createHash("sha1").update(`blob ${size}\0`).update(bytes).digest("hex");
    const whole = createHash("sha256").update(bytes).digest("hex");
    const lfs = large.includes(path) ? { lfs: { oid: whole, size, pointerSize: 130 } } : {};
    return { type: "file", path, size, oid: blob, ...lfs };
  });
  const info = {
    id,
    modelId: id,
    sha,
    gated: token === undefined ? false : "manual",
    cardData: { license: "other" },
    siblings: entries.map(({ path }) => ({ rfilename: path })),
  };
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url!, "http://hub");
    const json = (value: unknown) => {
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify(value));
    };
    if (pathname.startsWith(`/api/models/${id}/tree/`)) return json(entries);
    if (pathname.startsWith(`/api/models/${id}`)) return json(info);
    const name = decodeURIComponent(pathname.slice(`/${id}/resolve/${sha}/`.length));
    const bytes = pathname.startsWith(`/${id}/resolve/`) ? files[name] : undefined;
    const bearer = request.headers.authorization?.replace("Bearer ", "");
    if (bearer !== undefined) tokens.add(bearer);
    if (token !== undefined && bearer !== token) {
      response.writeHead(401, { "x-error-code": "GatedRepo" });
      return response.end();
    }
    if (bytes === undefined) {
      response.writeHead(404, { "x-error-code": "EntryNotFound" });
      return response.end();
    }
    const [, from = "0", to = ""] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "") ?? [];
    const last = to === "" ? bytes.length - 1 : Math.min(Number(to), bytes.length - 1);
    const part = Buffer.from(bytes.subarray(Number(from), last + 1));
    const probe = request.headers.range === "bytes=0-0";
    const range = `bytes ${from}-${last}/${bytes.length}`;
    const status = request.headers.range === undefined ? 200 : 206;
    response.writeHead(status, {
      "content-range": range,
      "content-length": part.length,
      etag: `"${sha}"`,
    });
    if (!probe) {
      asked.push(`${name} ${from}-${last}`);
      const how = spoil?.(name, given);
      given += 1;
      if (how === "break") {
        response.write(part.subarray(0, part.length >> 1));
        return setTimeout(() => response.destroy(), 20);
      }
      if (how === "change") part[0]! ^= 1;
    }
    return response.end(part);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    sha,
    asked() {
      const told = asked;
      asked = [];
      return told;
    },
    tokens,
    async close() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}
