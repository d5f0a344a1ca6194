import { expect, test } from "vitest";
import { events, view } from "../../../test/fixtures/story.ts";
import type { RunEvent } from "../../run/event.ts";
import { createStyle } from "../terminal.ts";
import { alertLines, decisionLines, eventLines, headLines } from "./lines.ts";

const style = createStyle(false);
const isStep = (line: string | undefined) => /^step \d+\//.test(line ?? "");
const options = { columns: 80, style };

test("the head says what runs, where and on how many rows", () => {
  expect(headLines(view(), options)).toEqual([
    "moxi-20261123-141207-calm-otter-7f3k",
    "moxi:tiny, full, on this machine: 612 rows to train on, 32 held out",
  ]);
});

test("decisions line up, and a long reason hangs in its own column", () => {
  const lines = view().decisions.flatMap((decision) => decisionLines(decision, options));
  expect(lines.slice(2, 5)).toEqual([
    "precision               float32    this CPU has no bfloat16 units",
    "micro-batch             8          the whole effective batch fits into memory at",
    "                                   once",
  ]);
});

test("an alert is told with its hint", () => {
  const alert = { level: "warning", message: "the loss is flat", hint: "raise it" } as const;
  expect(alertLines(alert, options)).toEqual(["▲ the loss is flat", "  raise it"]);
});

test("steps get a line at the start, at the end and about each twentieth in between", () => {
  const lines = events({ steps: 1000 }).flatMap(eventLines(style)).filter(isStep);
  expect(lines[0]).toBe("step 1/1000       loss 6.979 · 9,612 tokens/s · about 6m 40s left");
  expect(lines.at(-1)).toMatch(/^step 1000\/1000 +loss [\d.]+ · 9,612 tokens\/s$/);
  expect(lines.length).toBeGreaterThanOrEqual(20);
  expect(lines.length).toBeLessThanOrEqual(22);
});

test("an evaluation is told with its perplexity", () => {
  const first = events({ upTo: 0 }).find(({ type }) => type === "eval")!;
  expect(eventLines(style)(first)).toBe("step 0            held-out loss 7.000 · perplexity 1100");
});

test("slow steps get a line a minute, by their stamps", () => {
  const first = events({ upTo: 1, steps: 100_000 }).find((event) => event.type === "step")!;
  const lineOf = eventLines(style);
  const at = (minutes: number): RunEvent => ({
    ...first,
    at: new Date(Date.parse(first.at) + minutes * 60_000).toISOString(),
  });
  const told = [0, 0.5, 1, 1.5, 2].map((minutes) => lineOf(at(minutes)) !== undefined);
  expect(told).toEqual([true, false, true, false, true]);
});

test("what is left is told by the pace of all steps, not of one", () => {
  const [fast, slow] = events({ upTo: 2, steps: 2 * 20 }).filter((event) => event.type === "step");
  const lineOf = eventLines(style);
  lineOf({ ...fast!, seconds: 1 });
  expect(lineOf({ ...slow!, seconds: 3 })).toContain("about 1m 16s left");
});

test("what is foreign in an event is made safe", () => {
  const [stamp] = events({ upTo: 0 });
  const phase = {
    ...stamp!,
    type: "phase",
    name: "model",
    detail: "x\u001b]0;evil\u0007",
  } as const;
  expect(eventLines(style)(phase)).toBe("x\\u001b]0;evil\\u0007");
});
