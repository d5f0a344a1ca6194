// Preloaded into every Node process of the tests (vitest's own, its worker threads, the command
// line): writes down each request to AWS as it goes over the wire, whichever client sends it.
// setup.ts tells where to, and holds the lines against AWS's models. CommonJS: an old Node can load
// it, and so can a worker thread of any kind.
const { appendFileSync } = require("node:fs");
const { Socket } = require("node:net");
const { join } = require("node:path");
const { threadId } = require("node:worker_threads");

const longestBody = 1 << 20;
const patched = Symbol.for("moxi.contract.patched");
const requests = new WeakMap();
const { write } = Socket.prototype;

if (!(patched in Socket.prototype)) {
  Object.defineProperty(Socket.prototype, patched, { value: true });
  Socket.prototype.write = function (chunk, encoding, ...rest) {
    const folder = process.env.CONTRACT_RECORD;
    if (folder !== undefined && (typeof chunk === "string" || chunk instanceof Uint8Array)) {
      const text = typeof encoding === "string" ? encoding : "utf8";
      const bytes = typeof chunk === "string" ? Buffer.from(chunk, text) : Buffer.from(chunk);
      if (!requests.has(this)) requests.set(this, new Requests(this.encrypted === true));
      const seen = requests.get(this);
      try {
        seen.take(bytes, folder);
      } catch (error) {
        // A test must fail for it, and no socket.
        seen.over = true;
        keep(folder, { broken: String(error) });
      }
    }
    return write.call(this, chunk, encoding, ...rest);
  };
}

/** Takes what one socket sends apart into requests. A server's answers and other protocols end it. */
class Requests {
  pending = Buffer.alloc(0);
  request = undefined;
  /** Bytes of the body that are still to come; in chunks when negative. */
  left = 0;
  over = false;

  constructor(secure) {
    this.secure = secure;
  }

  take(bytes, folder) {
    if (this.over) return;
    let rest = bytes;
    while (rest.length > 0 && !this.over) {
      if (this.request !== undefined && this.left >= 0) {
        const now = rest.subarray(0, this.left);
        rest = rest.subarray(now.length);
        this.left -= now.length;
        this.keep(now);
        if (this.left === 0) this.done(folder);
        continue;
      }
      this.pending = Buffer.concat([this.pending, rest]);
      rest = Buffer.alloc(0);
      if (this.request !== undefined) {
        // The last chunk of a chunked body; enough for requests that are small.
        const end = this.pending.indexOf("\r\n0\r\n\r\n");
        const none = this.pending.indexOf("0\r\n\r\n") === 0;
        if (end < 0 && !none) continue;
        const length = none ? 0 : end;
        this.keep(unchunk(this.pending.subarray(0, length)));
        rest = this.pending.subarray(length + (none ? 5 : 7));
        this.pending = Buffer.alloc(0);
        this.done(folder);
        continue;
      }
      const start = this.pending.subarray(0, 8).toString("latin1");
      if (start.length === 8 && !/^(?:GET|PUT|POST|HEAD|DELETE|PATCH) /.test(start))
        this.over = true;
      const end = this.pending.indexOf("\r\n\r\n");
      if (end < 0) {
        if (this.pending.length > 1 << 17) this.over = true;
        continue;
      }
      this.head(this.pending.subarray(0, end).toString("latin1"));
      rest = this.pending.subarray(end + 4);
      this.pending = Buffer.alloc(0);
      if (this.left === 0 && this.request !== undefined) this.done(folder);
    }
  }

  head(text) {
    const [first = "", ...lines] = text.split("\r\n");
    const [method, target, version] = first.split(" ");
    if (version !== "HTTP/1.1") return (this.over = true);
    const headers = {};
    for (const line of lines) {
      const colon = line.indexOf(":");
      headers[line.slice(0, colon).trim().toLowerCase()] = line.slice(colon + 1).trim();
    }
    this.request = { method, target, secure: this.secure, headers, body: [], kept: 0 };
    const chunked = /chunked/i.test(headers["transfer-encoding"] ?? "");
    this.left = chunked ? -1 : Number(headers["content-length"] ?? 0);
  }

  keep(bytes) {
    const { request } = this;
    if (request.kept + bytes.length > longestBody) request.cut = true;
    else request.body.push(Buffer.from(bytes));
    request.kept += bytes.length;
  }

  done(folder) {
    const { method, target, secure, headers, body, kept, cut } = this.request;
    this.request = undefined;
    const agent = headers["user-agent"] ?? "";
    if (!(headers.authorization ?? "").startsWith("AWS4-") && !/\baws-sdk-js\//.test(agent)) return;
    const text = cut === true ? null : Buffer.concat(body).toString("base64");
    keep(folder, { method, target, secure, headers, bytes: kept, body: text });
  }
}

function keep(folder, line) {
  try {
    const file = join(folder, `${process.pid}-${threadId}.ndjson`);
    appendFileSync(file, `${JSON.stringify(line)}\n`);
  } catch {
    // The test file that this belonged to has ended and taken its folder along.
  }
}

function unchunk(bytes) {
  const parts = [];
  for (let at = 0; at < bytes.length;) {
    const end = bytes.indexOf("\r\n", at);
    const size = Number.parseInt(bytes.subarray(at, end).toString("latin1"), 16);
    if (end < 0 || !(size > 0)) break;
    parts.push(bytes.subarray(end + 2, end + 2 + size));
    at = end + 2 + size + 2;
  }
  return Buffer.concat(parts);
}
