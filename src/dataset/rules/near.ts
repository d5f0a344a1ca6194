import type { Groups } from "./groups.ts";
import { bandCount } from "./table.ts";
import type { RowTable } from "./table.ts";

/** Two rows are near duplicates from this Jaccard similarity of their runs of five words on. */
export const nearSimilarity = 0.85;

/**
 * Sketches err by 0.045 (one standard deviation at 0.85 and 64 bins): what looks at least so alike
 * is compared exactly, which misses one pair in 2,000.
 */
const worthALook = 0.7;
/** So many rows of one bucket are compared, the newest first. */
const longestChain = 8;

export interface Candidate {
  readonly row: number;
  /** An earlier row. */
  readonly like: number;
}

/**
 * Pairs of rows that look alike by their sketches (MinHash of one permutation; 16 bands of four bins
 * find 99.999 % of the pairs of similarity 0.85): at most one earlier row for each row, the one that
 * looks most alike.
 */
export function findCandidates(
  table: RowTable,
  groups: Groups,
  skip: (row: number) => boolean,
): Candidate[] {
  const rows = table.sketched;
  const { keys } = groups;
  const best = new Map<number, { like: number; likeness: number }>();
  for (let band = 0; band < bandCount; band++) {
    table.copyBand(band, keys);
    let last = -1;
    let seen = 0;
    groups.search(rows, (row, like) => {
      if (row !== last) seen = skip(row) ? longestChain : 0;
      last = row;
      if (seen++ >= longestChain) return false;
      const known = best.get(row);
      if (known?.like === like || skip(like)) return true;
      const likeness = table.likeness(row, like);
      const better =
        likeness > (known?.likeness ?? 0) || (likeness === known?.likeness && like < known.like);
      if (likeness >= worthALook && better) best.set(row, { like, likeness });
      return true;
    });
  }
  return Array.from(best, ([row, { like }]) => ({ row, like })).sort((a, b) => a.row - b.row);
}

/** The runs of five words of some texts, as sorted hashes, each once. */
export function shinglesOf(texts: readonly string[]): Uint32Array {
  const found = new Set<number>();
  for (const text of texts) {
    const words = text.match(/[A-Za-z0-9\u0080-\u2e7f\ud800-\uffff]+|[\u2e80-\ud7ff]/g) ?? [];
    for (let start = 0; start + 5 <= words.length; start++) {
      let hash = 0x811c9dc5;
      for (let at = start; at < start + 5; at++) {
        for (let index = 0; index < words[at]!.length; index++) {
          hash = Math.imul(hash ^ words[at]!.charCodeAt(index), 0x01000193);
        }
        hash = Math.imul(hash ^ 0x20, 0x01000193);
      }
      found.add(hash >>> 0);
    }
  }
  return Uint32Array.from(found).sort();
}

/** Jaccard's similarity of two sorted sets. */
export function similarity(a: Uint32Array, b: Uint32Array): number {
  let [i, j, shared] = [0, 0, 0];
  while (i < a.length && j < b.length) {
    const difference = a[i]! - b[j]!;
    if (difference === 0) shared += 1;
    if (difference <= 0) i += 1;
    if (difference >= 0) j += 1;
  }
  const all = a.length + b.length - shared;
  return all === 0 ? 0 : shared / all;
}
