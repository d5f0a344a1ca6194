import type { BigIntStats } from "node:fs";

/** What tells that a file is still the one that was looked at. Plain data, exact to a nanosecond. */
export interface Stamp {
  readonly size: number;
  readonly changed: string;
}

/** A file's stamp. mtime alone can be set back, ctime cannot. */
export function stampOf(stat: BigIntStats): Stamp {
  const { dev, ino, mtimeNs, ctimeNs } = stat;
  return { size: Number(stat.size), changed: `${dev}-${ino}-${mtimeNs}-${ctimeNs}` };
}

/** A file that was changed so recently may change again within one tick of the file system's clock. */
const settledMs = 2000;

/** Whether whoever changes the file from now on changes its stamp too. */
export function isSettled({ ctimeNs }: BigIntStats, now: Date): boolean {
  return now.getTime() - Number(ctimeNs / 1_000_000n) > settledMs;
}
