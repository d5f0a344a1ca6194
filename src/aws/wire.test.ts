import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { Wire } from "./wire.ts";

test("what comes from another range than was asked for is thrown away, even before a break", async () => {
  const whole = "0123456789";
  const asked: (string | undefined)[] = [];
  const server = createServer(({ headers }, answer) => {
    asked.push(headers.range);
    const cut = (text: string) => answer.write(text, () => answer.destroy());
    answer.setHeader("content-length", asked.length === 1 ? 10 : 5);
    if (asked.length === 1) return cut("01234");
    answer.statusCode = 206;
    answer.setHeader("content-range", `bytes ${asked.length === 2 ? "0-4" : "5-9"}/10`);
    if (asked.length === 2) return cut("012");
    answer.end("56789");
  });
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
  const file = Buffer.alloc(10);
  const range = { offset: 0, length: 10, whole: true };
  await wire.get("key", range, '"etag"', (piece, at) => void piece.copy(file, at));
  expect(file.toString()).toBe(whole);
  expect(asked).toEqual([undefined, "bytes=5-9", "bytes=5-9"]);
  wire.close();
  server.close();
});
