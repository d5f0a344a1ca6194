import { describe, expect, test } from "vitest";
import { partition, splitRowOf } from "./partition.ts";
import type { SplitRow } from "./partition.ts";

const row = (question: string, answer: string, more: object = {}): SplitRow =>
  splitRowOf(
    {
      messages: [
        { role: "user", content: question },
        { role: "assistant", content: answer },
      ],
    },
    more,
    Object.keys(more)[0] ?? null,
  );
const long = (at: number) => `An answer of its own, number ${at}, which is too long to be a label.`;

test("the same rows give the same choice, whatever their order", () => {
  const rows = Array.from({ length: 200 }, (_, at) => row(`q${at}`, long(at)));
  const { heldOut, labels } = partition(rows, 0.1);
  expect(labels).toBe(0);
  expect(heldOut.size).toBe(20);
  expect(partition(rows.toReversed(), 0.1).heldOut).toEqual(heldOut);
  // A few more rows change little of it.
  const more = [...rows, ...Array.from({ length: 10 }, (_, at) => row(`m${at}`, long(at)))];
  const again = partition(more, 0.1).heldOut;
  expect([...heldOut].filter((key) => again.has(key)).length).toBeGreaterThanOrEqual(18);
});

test("no value of a group is on both sides, not even for the share's sake", () => {
  const rows = Array.from({ length: 300 }, (_, at) => row(`q${at}`, long(at), { user: at % 30 }));
  const { heldOut } = partition(rows, 0.1);
  const sides = new Map<number, Set<boolean>>();
  for (const [at, { key }] of rows.entries()) {
    sides.set(at % 30, (sides.get(at % 30) ?? new Set()).add(heldOut.has(key)));
  }
  expect([...sides.values()].every((side) => side.size === 1)).toBe(true);
  expect(rows.filter(({ key }) => heldOut.has(key))).toHaveLength(30);
});

describe("answers that are labels", () => {
  const labelled = Array.from({ length: 400 }, (_, at) =>
    row(`q${at}`, at % 20 === 0 ? "rare" : "common"),
  );
  test("are held out in their shares", () => {
    const { heldOut, labels } = partition(labelled, 0.1);
    expect(labels).toBe(2);
    const held = labelled.filter(({ key }) => heldOut.has(key)).map(({ label }) => label);
    expect(held.filter((label) => label === "rare")).toHaveLength(2);
    expect(held.filter((label) => label === "common")).toHaveLength(38);
  });
  test("never all of one label", () => {
    const one = [...labelled.slice(1, 20), row("only", "single")];
    const { heldOut } = partition(one, 0.9);
    expect(heldOut.has(one.at(-1)!.key)).toBe(false);
  });
});

test.each([
  ["no row", 0, 0.5, 0],
  ["one row", 1, 0.5, 0],
  ["two rows and a small share", 2, 0.01, 1],
  ["no share", 10, 0, 0],
])("%s", (_name, count, fraction, held) => {
  const rows = Array.from({ length: count }, (_, at) => row(`q${at}`, long(at)));
  expect(partition(rows, fraction).heldOut.size).toBe(held);
});
