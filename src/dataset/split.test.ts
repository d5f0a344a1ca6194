import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import type { CanonicalRow } from "./canonical.ts";
import { chooseHeldOut, splitKey } from "./split.ts";

interface Vector {
  readonly name: string;
  readonly rows: readonly CanonicalRow[];
  readonly evalFraction: number;
  readonly maxEvalRows: number;
  readonly heldOut: readonly number[];
}

const file = new URL("../../schema/vectors/split.json", import.meta.url);
const vectors = JSON.parse(readFileSync(file, "utf8")) as Vector[];

test.each(vectors)("$name", ({ rows, heldOut, ...options }) => {
  const keys = BigUint64Array.from(rows, splitKey);
  const chosen = chooseHeldOut(keys, options);
  expect([...rows.keys()].filter((index) => chosen.has(keys[index]!))).toEqual(heldOut);
});
