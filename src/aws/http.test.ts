import { createServer as createGateway } from "node:http";
import { connect, createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { afterEach, expect, test, vi } from "vitest";
import { ConnectionPool } from "./http.ts";
import { HttpHead } from "./http-head.ts";
import { Throttle } from "./throttle.ts";

let server: Server | undefined;
let pool: ConnectionPool | undefined;
afterEach(() => {
  vi.useRealTimers();
  pool?.close();
  server?.close();
});

const network = { proxies: {}, authorities: { besides: [] } };

/** A server that says the given pieces, one list a request. */
async function serve(...answers: readonly (readonly string[])[]) {
  let connections = 0;
  let next = 0;
  let last: Socket | undefined;
  let arrived: (() => void) | undefined;
  const asked = new Promise<void>((resolve) => (arrived = resolve));
  server = createServer((socket: Socket) => {
    connections += 1;
    last = socket;
    socket.on("error", () => {});
    socket.on("data", (chunk: Buffer) => {
      if (!chunk.includes("\r\n\r\n")) return;
      arrived!();
      const pieces = answers[Math.min(next, answers.length - 1)]!;
      next += 1;
      pieces.forEach((piece, index) =>
        setTimeout(() => (piece === "END" ? socket.destroy() : socket.write(piece)), index * 5),
      );
    });
  });
  await new Promise<void>((resolve) => server!.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  pool = new ConnectionPool({ host: "127.0.0.1", port, secure: false }, network);
  const get = async (method = "GET") => {
    const { head, body } = await pool!.send({ method, target: "/", headers: "host: x\r\n" });
    return `${head.status} ${body.toString()}`;
  };
  const take = (onData: (piece: Buffer) => void | Promise<void>) =>
    pool!.send({ method: "GET", target: "/", headers: "host: x\r\n", onData });
  const say = (text: string) => last!.write(text);
  return { get, take, asked, say, connections: () => connections };
}

test.each<[string, string[], string]>([
  ["a length", ["HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc"], "200 abc"],
  [
    "pieces cut anywhere",
    ["HTTP/1.1 20", "0 OK\r\nContent-Len", "gth: 3\r\n\r", "\na", "bc"],
    "200 abc",
  ],
  [
    "chunks",
    [
      "HTTP/1.1 403 No\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r",
      "\nc\r\n0\r\n",
      "\r\n",
    ],
    "403 abc",
  ],
  [
    "an interim answer",
    ["HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"],
    "200 ",
  ],
  ["nothing", ["HTTP/1.1 204 No Content\r\n\r\n"], "204 "],
])(
  "a body with %s is read whole, and the connection is used again",
  async (_name, pieces, text) => {
    const { get, connections } = await serve(pieces);
    expect([await get(), await get(), connections()]).toEqual([text, text, 1]);
  },
);

test("a blank that HTTP does not know is part of a value", () => {
  const head = new HttpHead("HTTP/1.1 200 OK\r\ncontent-length: \t\u00a03 \r\nx: y");
  expect(head.get("content-length")).toBe("\u00a03");
});

test("an answer that says close, among others, is the last of its connection", async () => {
  const { get, connections } = await serve([
    "HTTP/1.1 200 OK\r\nconnection: x, Close\r\ncontent-length: 0\r\n\r\n",
  ]);
  expect([await get(), await get(), connections()]).toEqual(["200 ", "200 ", 2]);
});

test("HEAD has a length and no body", async () => {
  const { get } = await serve(["HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n"]);
  expect(await get("HEAD")).toBe("200 ");
});

test.each<[string, string[]]>([
  ["no HTTP", ["SSH-2.0-x\r\n\r\n"]],
  ["two lengths", ["HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabc"]],
  ["a header without a name", ["HTTP/1.1 200 OK\r\n: x\r\ncontent-length: 3\r\n\r\nabc"]],
  ["a line that is no header", ["HTTP/1.1 200 OK\r\nx\r\ncontent-length: 3\r\n\r\nabc"]],
  ["a line feed in a header", ["HTTP/1.1 200 OK\r\nx: y\ncontent-length: 3\r\n\r\nabc"]],
  [
    "two encodings",
    ["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n"],
  ],
  [
    "a name before a blank",
    ["HTTP/1.1 200 OK\r\ncontent-length : 2\r\ncontent-length: 3\r\n\r\nabc"],
  ],
  ["a folded line", ["HTTP/1.1 200 OK\r\ncontent-length: 3\r\n x: y\r\n\r\nabc"]],
  ["half a line end", ["HTTP/1.1 200 OK\r\ncontent-length: 3\r\nx: y\rz: 1\r\n\r\nabc"]],
  ["a NUL", ["HTTP/1.1 200 OK\r\ncontent-length: 3\r\nx: y\0\r\n\r\nabc"]],
  [
    "an encoding and a length",
    ["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n"],
  ],
  [
    "an encoding that nobody asked for",
    ["HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\ncontent-length: 3\r\n\r\nabc"],
  ],
  [
    "no status",
    ["HTTP/1.1 099 x\r\ncontent-length: 3\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc"],
  ],
  ["no length", ["HTTP/1.1 200 OK\r\n\r\nabc"]],
  ["a length that is none", ["HTTP/1.1 200 OK\r\ncontent-length: -3\r\n\r\nabc"]],
  ["more than its length", ["HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabcd"]],
  ["less than its length", ["HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab", "END"]],
  ["a broken chunk", ["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n"]],
  [
    "a chunk longer than its size",
    ["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabc\r\n"],
  ],
  ["a head without end", ["HTTP/1.1 200 OK\r\n", `x: ${"y".repeat(70_000)}`]],
])("an answer with %s is trouble on the way", async (_name, pieces) => {
  const { get } = await serve(pieces);
  await expect(get()).rejects.toMatchObject({ code: "ECONNRESET" });
});

test.each<[string, string[]]>([
  ["in one", [`HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabcdef`]],
  ["behind a head that is cut", ["HTTP/1.1 200 OK\r\ncontent-le", "ngth: 6\r\n\r\nabc", "def"]],
  [
    "in chunks",
    [
      "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n3\r\ncde\r\n1\r",
      "\nf\r\n0\r\n\r\n",
    ],
  ],
])("a body %s reaches its taker, who may take his time", async (_name, pieces) => {
  const { take, connections } = await serve(pieces);
  for (let round = 0; round < 2; round++) {
    const found: string[] = [];
    await take(async (piece) => {
      await new Promise((resolve) => setImmediate(resolve));
      found.push(piece.toString());
    });
    // Taken to the end when the answer is there.
    expect(found.join("")).toBe("abcdef");
  }
  expect(connections()).toBe(1);
});

test("what came before a break reaches its taker", async () => {
  const { take } = await serve(["HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc", "END"]);
  const found: string[] = [];
  await expect(take((piece) => void found.push(piece.toString()))).rejects.toMatchObject({
    code: "ECONNRESET",
  });
  expect(found.join("")).toBe("abc");
});

test("a taker that fails fails the request, and the connection is not used again", async () => {
  const { take, connections } = await serve(["HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc"]);
  const full = Object.assign(new Error("no space left"), { code: "ENOSPC" });
  await expect(take(() => Promise.reject(full))).rejects.toBe(full);
  await take(() => {});
  expect(connections()).toBe(2);
});

test("so it does where a proxy brings more at once than there is space", async () => {
  await serve([
    `HTTP/1.1 200 OK\r\ncontent-length: 500000\r\n\r\n${"x".repeat(40_000)}`,
    "x".repeat(460_000),
  ]);
  const gateway = createGateway().on("connect", (_request, socket: Socket) => {
    const onward = connect((server!.address() as AddressInfo).port, "127.0.0.1", () => {
      socket.write("HTTP/1.1 200 OK\r\n\r\n");
      socket.pipe(onward).pipe(socket);
    });
    for (const one of [socket, onward]) one.on("error", () => {});
  });
  await new Promise<void>((resolve) => gateway.listen(0, "127.0.0.1", resolve));
  const { port } = gateway.address() as AddressInfo;
  const proxies = { http: `http://127.0.0.1:${port}` };
  const far = new ConnectionPool(
    { host: "far.example", port: 80, secure: false },
    { ...network, proxies },
  );
  const full = Object.assign(new Error("no space left"), { code: "ENOSPC" });
  const onData = () => {
    throw full;
  };
  const sent = far.send({ method: "GET", target: "/", headers: "host: x\r\n", onData });
  await expect(sent).rejects.toBe(full);
  gateway.close();
});

test("a connection is given up a minute after its last byte", async () => {
  vi.useFakeTimers({ toFake: ["setInterval"] });
  const { take, asked, say } = await serve([]);
  const pass = async (ms: number) => {
    vi.advanceTimersByTime(ms);
    await new Promise((resolve) => setImmediate(resolve));
  };
  let told: (() => void) | undefined;
  let failed: unknown;
  const taken = take(() => told!()).catch((error: unknown) => (failed = error));
  await asked;
  for (const more of ["HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\na", "b", "c"]) {
    await pass(59_000);
    expect(failed).toBeUndefined();
    const piece = new Promise<void>((resolve) => (told = resolve));
    say(more);
    await piece;
  }
  await pass(59_000);
  expect(failed).toBeUndefined();
  await pass(2_000);
  await taken;
  expect(failed).toMatchObject({ code: "ETIMEDOUT" });
});

test("so is one that takes a body and says nothing", async () => {
  await serve([]);
  const { port } = server!.address() as AddressInfo;
  const hasty = new ConnectionPool({ host: "127.0.0.1", port, secure: false }, network, 50);
  const request = { method: "PUT", target: "/", headers: "host: x\r\n", body: Buffer.from("abc") };
  await expect(hasty.send(request)).rejects.toMatchObject({ code: "ETIMEDOUT" });
});

test("the time that a disk has taken is not counted when it has caught up", async () => {
  vi.useFakeTimers({ toFake: ["setInterval"] });
  const { take, asked, say } = await serve([]);
  const slow: (() => void)[] = [];
  let told: (() => void) | undefined;
  const taken = take(() => {
    told!();
    return new Promise((resolve) => slow.push(resolve));
  });
  await asked;
  // So many pieces that no more is read meanwhile.
  for (const more of ["HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\na", "b", "c"]) {
    vi.advanceTimersByTime(250);
    const piece = new Promise<void>((resolve) => (told = resolve));
    say(more);
    await piece;
  }
  vi.advanceTimersByTime(61_000);
  for (const done of slow) done();
  for (let moments = 0; moments < 50; moments++) await Promise.resolve();
  vi.advanceTimersByTime(250);
  told = () => setImmediate(() => slow.at(-1)!());
  say("d");
  expect((await taken).head.status).toBe(200);
});

test("a kept connection that the other side has closed costs nothing but a new one", async () => {
  const { get, connections } = await serve(
    ["HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na"],
    ["END"],
    ["HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nb"],
  );
  expect([await get(), await get(), connections()]).toEqual(["200 a", "200 b", 2]);
});

test("a service that wants fewer requests gets half, and then more again", async () => {
  const throttle = new Throttle(8);
  let active = 0;
  let most = 0;
  const work = async () => {
    await throttle.enter();
    active += 1;
    most = Math.max(most, active);
    await new Promise((resolve) => setImmediate(resolve));
    active -= 1;
    throttle.succeeded();
    throttle.leave();
  };
  throttle.slowedDown();
  expect(throttle.current).toBe(4);
  await Promise.all(Array.from({ length: 4 }, work));
  expect(most).toBe(4);
  await Promise.all(Array.from({ length: 60 }, work));
  expect(throttle.current).toBe(8);
});
