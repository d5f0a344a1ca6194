const lengthBins = 128;

/** How many texts are how long, as plain data. */
export interface LengthBins {
  /** Bins grow by a quarter of a power of two: a fifth of the length, exact below 4. */
  readonly counts: Uint32Array;
  longest: number;
}

export function noLengths(): LengthBins {
  return { counts: new Uint32Array(lengthBins), longest: 0 };
}

export function countLength(bins: LengthBins, length: number): void {
  bins.counts[binOf(length)]! += 1;
  if (length > bins.longest) bins.longest = length;
}

/** Adds others to some. */
export function addLengths(bins: LengthBins, others: LengthBins): void {
  for (let bin = 0; bin < lengthBins; bin++) bins.counts[bin]! += others.counts[bin]!;
  bins.longest = Math.max(bins.longest, others.longest);
}

function binOf(length: number): number {
  if (length < 4) return length;
  const power = 31 - Math.clz32(length);
  return Math.min(lengthBins - 1, 4 * (power - 1) + ((length >>> (power - 2)) & 3));
}

/** The largest length of a bin. */
function topOf(bin: number): number {
  if (bin < 4) return bin;
  const power = (bin >> 2) + 1;
  return (4 + (bin & 3) + 1) * 2 ** (power - 2) - 1;
}

export interface Lengths {
  readonly p50: number;
  readonly p95: number;
  readonly max: number;
}

/** Percentiles of lengths in characters, each rounded up to its bin's end; the longest is exact. */
export function percentiles({ counts: bins, longest }: LengthBins): Lengths {
  const total = bins.reduce((sum, count) => sum + count, 0);
  const at = (share: number) => {
    let passed = 0;
    for (let bin = 0; bin < bins.length; bin++) {
      passed += bins[bin]!;
      if (passed > 0 && passed >= share * total) return Math.min(topOf(bin), longest);
    }
    return 0;
  };
  return { p50: at(0.5), p95: at(0.95), max: longest };
}
