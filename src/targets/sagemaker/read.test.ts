import { expect, test } from "vitest";
import type { LogPage, Logs } from "../../aws/logs.ts";
import { newAttempt } from "../../store/runs.ts";
import { readLogs } from "./read.ts";

test("an empty page in the middle of a stream is not its end: the next machine's lines come after it", async () => {
  // By stream, then by the place that a page begins at.
  const pages: Record<string, Record<string, LogPage>> = {
    "algo-1-1": {
      start: { lines: ["one"], next: "b" },
      b: { lines: [], next: "c" },
      c: { lines: ["two"], next: "d" },
      d: { lines: [], next: "d" },
    },
    "algo-1-2": { start: { lines: ["three"], next: "b" }, b: { lines: [], next: "b" } },
  };
  const logs = {
    streams: () => Promise.resolve(Object.keys(pages)),
    page: (_group: string, stream: string, from = "start") =>
      Promise.resolve(pages[stream]![from]!),
  } as unknown as Logs;
  const attempt = newAttempt("moxi-x", 1, "sagemaker", new Date(0));
  const texts: string[] = [];
  let cursor: string | null = null;
  for (;;) {
    const reading = await readLogs(logs, attempt, cursor);
    texts.push(...reading.logs.map(({ text }) => text));
    if (reading.cursor === cursor) break;
    cursor = reading.cursor;
  }
  expect(texts).toEqual(["one", "two", "three"]);
});
