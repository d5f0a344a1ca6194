import { expect, test } from "vitest";
import { Groups } from "./groups.ts";

test.each([
  [0, 5],
  [1, 1],
  [3000, 40],
  [50_000, 30_000],
  [50_000, 3],
])("every pair of %s rows with %s keys is met, the newest first", (rows, keys) => {
  const groups = new Groups(rows);
  // Keys of every size and sign; 0 is none.
  const key = (row: number) => Math.imul(((row * 7919) % keys) - 1, 0x01234567);
  for (const shift of [0, 1]) {
    for (let row = 0; row < rows; row++) groups.keys[row] = key(row + shift);
    const newest = new Map<number, number>();
    const wanted = new Map<number, number>();
    for (let row = 0; row < rows; row++) {
      const own = key(row + shift);
      if (own === 0) continue;
      if (newest.has(own)) wanted.set(row, newest.get(own)!);
      newest.set(own, row);
    }
    const met = new Map<number, number>();
    groups.search(rows, (row, earlier) => {
      expect(met.has(row)).toBe(false);
      met.set(row, earlier);
      return false;
    });
    expect([...met].sort(([a], [b]) => a - b)).toEqual([...wanted]);
  }
});

test("a search goes on through all that are alike as long as it is told to", () => {
  const groups = new Groups(5);
  groups.keys.set([7, 0, 7, 9, 7]);
  const met: number[][] = [];
  groups.search(5, (row, earlier) => met.push([row, earlier]) > 0);
  expect(met).toEqual([
    [2, 0],
    [4, 2],
    [4, 0],
  ]);
});
