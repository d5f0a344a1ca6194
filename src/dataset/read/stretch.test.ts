import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readStretch, stretchesOf } from "./stretch.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "moxi-stretch-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The lines that each stretch of so many bytes gives, with where they stand in the file. */
function linesOf(text: string, start: number, bytes: number, room: number): [number, string][][] {
  const path = join(folder, "rows");
  writeFileSync(path, text);
  const file = openSync(path, "r");
  try {
    const size = Buffer.byteLength(text);
    const all: [number, string][][] = [];
    for (let from = start; from < size; from += bytes) {
      const stretch = { from, to: Math.min(size, from + bytes) };
      const read = readStretch(file, stretch, start, Buffer.alloc(room));
      const some: [number, string][] = [];
      for (let at = read.from; at < read.bytes.length;) {
        const end = read.bytes.indexOf(0x0a, at) + 1;
        // Every line has its line feed.
        some.push([read.offset + at, read.bytes.toString("utf8", at, end)]);
        at = end;
      }
      all.push(some);
    }
    return all;
  } finally {
    closeSync(file);
  }
}

test.each([
  [
    "rows of many lengths",
    ["a", "bb", "", "ccccccccccccc", "d", "é€", "f".repeat(60), "g"].join("\n"),
  ],
  ["a line feed at the end", "aaa\nbbb\nccc\n"],
  ["line feeds alone", "\n\n\n\n\n"],
  ["one line", "abcdefghij".repeat(9)],
])("each line is read once, where it begins: %s", (_, text) => {
  const expected: [number, string][] = [];
  for (const line of text.match(/[^\n]*\n|[^\n]+$/g) ?? []) {
    const last = expected.at(-1);
    const at = last === undefined ? 0 : last[0] + Buffer.byteLength(last[1]);
    expected.push([at, line]);
  }
  expected.at(-1)![1] = expected.at(-1)![1].replace(/\n?$/, "\n");
  for (const start of [0, 3]) {
    const file = `${"\ufeff".repeat(start / 3)}${text}`;
    const moved = expected.map(([at, line]) => [at + start, line]);
    // Also where a line is longer than the room.
    for (let bytes = 1; bytes < 70; bytes++) {
      for (const room of [bytes + 1, bytes + 7, 200]) {
        const stretches = linesOf(file, start, bytes, room);
        expect(stretches.flat(), `${bytes} bytes, room for ${room}`).toEqual(moved);
        stretches.forEach((some, index) => {
          for (const [at] of some) expect(Math.floor((at - start) / bytes)).toBe(index);
        });
      }
    }
  }
});

test("stretches follow each other from the first byte to the last", () => {
  for (const [start, end] of [
    [0, 1],
    [3, 1 << 19],
    [0, (1 << 19) + 1],
    [3, 3_000_000],
  ] as const) {
    const all = [...stretchesOf(start, end)];
    expect([all[0]!.from, all.at(-1)!.to]).toEqual([start, end]);
    for (const [index, { from }] of all.slice(1).entries()) expect(from).toBe(all[index]!.to);
  }
});

test("a line of more than 64 MiB is told with its place", () => {
  const path = join(folder, "long");
  writeFileSync(path, `{"a": 1}\n{"b": "${"x".repeat(66 << 20)}`);
  const file = openSync(path, "r");
  const room = Buffer.alloc(1 << 20);
  const { bytes, unreadable } = readStretch(file, { from: 0, to: 100 }, 0, room);
  expect(bytes.toString()).toBe('{"a": 1}\n');
  expect(unreadable).toMatchObject({
    offset: 9,
    message: "a row of more than 64 MiB begins here",
  });
  closeSync(file);
});
