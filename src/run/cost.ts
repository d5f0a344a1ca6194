/** What a machine costs, and who says so. */
export interface Price {
  /** USD an hour, on demand: what a spot machine costs at most. */
  readonly perHour: number;
  /** The region whose price it is. */
  readonly region: string;
  /** "AWS's price list", or "Moxi's catalog" where that could not be read. */
  readonly source: string;
  /** When it was read, or when the catalog was made: "2026-11-28", "2026-08". */
  readonly date: string;
}

/** What has been spent on a run. */
export interface Cost extends Price {
  /** USD: `seconds` at `perHour`. */
  readonly usd: number;
  /** Billed, over all attempts; with what a machine was kept after its job, for the next. */
  readonly seconds: number;
}

/** USD that so many seconds cost. */
export function costOf({ perHour }: Pick<Price, "perHour">, seconds: number): number {
  return (perHour * seconds) / 3600;
}
