/** Lengths in bins that grow by a quarter of a power of two: a fifth of the length, exact below 4. */
export const lengthBins = 128;

export function binOf(length: number): number {
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

/** Percentiles of lengths in characters, each rounded up to its bin's end. */
export function percentiles(bins: Uint32Array): Lengths {
  const total = bins.reduce((sum, count) => sum + count, 0);
  const at = (share: number) => {
    let passed = 0;
    for (let bin = 0; bin < bins.length; bin++) {
      passed += bins[bin]!;
      if (passed > 0 && passed >= share * total) return topOf(bin);
    }
    return 0;
  };
  return { p50: at(0.5), p95: at(0.95), max: at(1) };
}
