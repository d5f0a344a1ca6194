import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { RequestListener } from "node:http";
import { afterEach, expect, test } from "vitest";
import { Wire } from "./wire.ts";

const whole = "0123456789";
const started: { close(): void }[] = [];
afterEach(() => started.splice(0).forEach((one) => one.close()));

async function wireTo(answer: RequestListener): Promise<Wire> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const known = { accessKeyId: "A", secretAccessKey: "s" };
  const wire = new Wire(
    {
      bucket: "bucket",
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/bucket`,
      region: "us-east-1",
      settings: {
        settings: { region: "us-east-1", regionFrom: "a test", profile: undefined },
        credentials: "a test",
      },
      network: { proxies: {}, authorities: { besides: [] } },
      headers: {},
      putHeaders: {},
      attempts: 3,
      pauseMs: 1,
    },
    { get: () => known, renew: () => Promise.resolve(known) },
    { connections: 1 },
  );
  started.push(wire, server);
  return wire;
}

async function read(wire: Wire): Promise<string> {
  const file = Buffer.alloc(whole.length);
  const range = { offset: 0, length: whole.length, whole: true };
  await wire.get("key", range, '"etag"', (piece, at) => void piece.copy(file, at));
  return file.toString();
}

test("what comes from another range than was asked for is thrown away, even before a break", async () => {
  const asked: (string | undefined)[] = [];
  const wire = await wireTo(({ headers }, answer) => {
    asked.push(headers.range);
    const cut = (text: string) => answer.write(text, () => answer.destroy());
    answer.setHeader("content-length", asked.length === 1 ? 10 : 5);
    if (asked.length === 1) return cut("01234");
    answer.statusCode = 206;
    answer.setHeader("content-range", `bytes ${asked.length === 2 ? "0-4" : "5-9"}/10`);
    if (asked.length === 2) return cut("012");
    answer.end("56789");
  });
  expect(await read(wire)).toBe(whole);
  expect(asked).toEqual([undefined, "bytes=5-9", "bytes=5-9"]);
});

/** Sends two bytes of what is asked for, then breaks off; after so many nothing at all. */
function breakingOff(atMost: number): { readonly answer: RequestListener; requests: number } {
  const line = {
    requests: 0,
    answer: (({ headers }, answer) => {
      line.requests += 1;
      const from = Number(/\d+/.exec(headers.range ?? "0")![0]);
      if (from >= atMost) return answer.destroy();
      answer.statusCode = headers.range === undefined ? 200 : 206;
      answer.setHeader("content-range", `bytes ${from}-9/10`);
      answer.setHeader("content-length", 10 - from);
      answer.write(whole.slice(from, from + 2), () => answer.destroy());
    }) as RequestListener,
  };
  return line;
}

test("attempts are counted anew where more has come", async () => {
  expect(await read(await wireTo(breakingOff(10).answer))).toBe(whole);
});

test("attempts that bring nothing more are limited", async () => {
  const line = breakingOff(4);
  await expect(read(await wireTo(line.answer))).rejects.toMatchObject({ code: "E_NETWORK" });
  // Two that brought something; of that the last counts as the first of three.
  expect(line.requests).toBe(4);
});

test.each<[string, () => void | Promise<void>]>([
  ["at once", () => fail()],
  ["later", () => Promise.resolve().then(fail)],
])("what its taker cannot do is not tried again, when it is told %s", async (_when, failing) => {
  let requests = 0;
  const wire = await wireTo((_request, answer) => {
    requests += 1;
    answer.end(whole);
  });
  const range = { offset: 0, length: whole.length, whole: true };
  await expect(wire.get("key", range, '"etag"', failing)).rejects.toThrow(
    "the disk does not answer",
  );
  expect(requests).toBe(1);
});

/** A file system's code that a network has too. */
function fail(): never {
  throw Object.assign(new Error("the disk does not answer"), {
    code: "ETIMEDOUT",
    syscall: "write",
  });
}

test("what its taker cannot do is told, and not that the line broke besides", async () => {
  let requests = 0;
  const wire = await wireTo((_request, answer) => {
    requests += 1;
    answer.setHeader("content-length", 10);
    answer.write("01234", () => answer.destroy());
  });
  const range = { offset: 0, length: whole.length, whole: true };
  const full = () => {
    throw Object.assign(new Error("full"), { code: "ENOSPC", syscall: "write" });
  };
  await expect(wire.get("key", range, '"etag"', full)).rejects.toMatchObject({
    code: "E_DISK_FULL",
  });
  expect(requests).toBe(1);
});

test("expired credentials are renewed as often as more has come", async () => {
  let requests = 0;
  const wire = await wireTo(({ headers }, answer) => {
    requests += 1;
    const from = Number(/\d+/.exec(headers.range ?? "0")![0]);
    if (requests % 2 === 0) {
      answer.statusCode = 400;
      return answer.end("<Error><Code>ExpiredToken</Code></Error>");
    }
    answer.statusCode = headers.range === undefined ? 200 : 206;
    answer.setHeader("content-range", `bytes ${from}-9/10`);
    answer.setHeader("content-length", 10 - from);
    answer.write(whole.slice(from, from + 4), () => (from > 6 ? answer.end() : answer.destroy()));
  });
  expect(await read(wire)).toBe(whole);
  expect(requests).toBe(5);
});
