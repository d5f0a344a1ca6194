import { describe, expect, it } from "vitest";
import type { Attempt } from "../run/attempt.ts";
import { sortLines } from "./lines.ts";

const nonce = "0123456789abcdef".repeat(2);
const attempt: Attempt = {
  attempt: 2,
  name: "moxi-x-a2",
  target: "local",
  at: "2026-11-23T14:12:07.000Z",
  nonce,
};
const end = {
  v: 1,
  run: "moxi-x",
  attempt: 2,
  boot: 1,
  seq: 3,
  at: "2026-11-23T14:12:08.000Z",
  type: "end",
  outcome: "succeeded",
  exitCode: 0,
};
const event = (changes: object = {}) => `@moxi:${nonce} ${JSON.stringify({ ...end, ...changes })}`;

describe("sortLines", () => {
  it("tells events from the log and keeps both in order", () => {
    const lines = ["loading", event({ seq: 1 }), "", "training", event({ seq: 2 })];
    const { events, logs } = sortLines(lines, attempt);
    expect(events.map(({ seq }) => seq)).toEqual([1, 2]);
    expect(logs).toEqual([
      { attempt: 2, text: "loading" },
      { attempt: 2, text: "training" },
    ]);
  });

  it.each([
    ["without a mark", JSON.stringify(end)],
    ["with another nonce", event().replace(nonce, "f".repeat(32))],
    ["behind something", ` ${event()}`],
    ["escaped by the supervisor", `\\${event()}`],
    ["without the blank after the nonce", event().replace(`${nonce} `, nonce)],
  ])("takes a line %s for log", (_, line) => {
    expect(sortLines([line], attempt)).toEqual({ events: [], logs: [{ attempt: 2, text: line }] });
  });

  it.each([
    ["torn", event().slice(0, -9)],
    ["of another attempt", event({ attempt: 1 })],
    ["without a stamp", event({ boot: undefined })],
    ["of another version", event({ v: 2 })],
    ["without a type", event({ type: 7 })],
    ["that is no object", `@moxi:${nonce} [1]`],
  ])("drops an event %s", (_, line) => {
    expect(sortLines([line], attempt)).toEqual({ events: [], logs: [] });
  });
});
