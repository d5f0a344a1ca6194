import { hash } from "node:crypto";
import { canonicalJson } from "../base/json.ts";
import type { CanonicalRow } from "./canonical.ts";

export interface SplitOptions {
  /** Share of the rows to hold out, 0 to 1. */
  readonly evalFraction: number;
  /** At most this many held-out rows, if any group is that small. */
  readonly maxEvalRows: number;
}

/**
 * What keeps rows together: rows with equal keys (one group, or the same content) are never on
 * both sides. A key is the first 16 hex digits of the SHA-256 of the UTF-8 of `group:` and the
 * row's group, or of `row:` and the row's canonical JSON, as one unsigned number of 64 bits.
 */
export function splitKey(row: CanonicalRow): bigint {
  const text = row.group === undefined ? `row:${canonicalJson(row)}` : `group:${row.group}`;
  return hash("sha256", text, "buffer").readBigUInt64BE();
}

/**
 * Chooses the keys to hold out, from the key of every row. The same rows give the same choice,
 * whatever their order, and a few more rows change little of it.
 *
 * The target is `evalFraction` x rows, rounded (half up) and at least 1, but at most `maxEvalRows`
 * and at most all rows but one. Keys are looked at in ascending order; one is taken when its rows
 * still fit below the target. If none fits, the key with the fewest rows is taken, the first of
 * equals. With `evalFraction` 0, `maxEvalRows` 0 or fewer than two keys, nothing is held out.
 */
export function chooseHeldOut(keys: BigUint64Array, options: SplitOptions): Set<bigint> {
  const sorted = keys.slice().sort();
  const rows = sorted.length;
  const chosen = new Set<bigint>();
  if (options.evalFraction === 0 || rows === 0 || sorted[0] === sorted[rows - 1]) return chosen;
  const wanted = Math.max(1, Math.floor(options.evalFraction * rows + 0.5));
  let room = Math.min(wanted, options.maxEvalRows, rows - 1);
  if (room < 1) return chosen;
  let smallest = { key: 0n, size: Infinity };
  for (let start = 0; start < rows && room > 0;) {
    const key = sorted[start]!;
    let end = start + 1;
    while (end < rows && sorted[end] === key) end += 1;
    const size = end - start;
    start = end;
    if (size < smallest.size) smallest = { key, size };
    if (size > room) continue;
    chosen.add(key);
    room -= size;
  }
  if (chosen.size === 0) chosen.add(smallest.key);
  return chosen;
}
