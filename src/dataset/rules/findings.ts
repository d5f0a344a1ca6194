import type { RuleCode } from "./catalog.ts";

/** One place where a rule found something. Texts may hold what the data says: print them escaped. */
export interface Place {
  /** Index of the file. */
  file: number;
  /** From 1, in the file; absent where the rule speaks of the whole file. */
  row?: number;
  line?: number;
  column?: number;
  /** A column, or a path such as messages[2].content. */
  field?: string;
  /** What it is here, where that says more than the rule; never a secret. */
  detail?: string;
  /** In bytes, from which line and column are found out. */
  offset?: number;
}

/** All findings counted, and so many places of each rule kept: the first ones, in the order of the rows. */
export class Findings {
  readonly counts = new Map<RuleCode, number>();
  readonly places = new Map<RuleCode, Place[]>();
  readonly max: number;

  constructor(maxPlaces: number) {
    this.max = maxPlaces;
  }

  add(code: RuleCode, place: Place): void {
    this.counts.set(code, (this.counts.get(code) ?? 0) + 1);
    const places = this.places.get(code);
    if (places === undefined) this.places.set(code, [place]);
    else if (places.length < this.max) places.push(place);
  }

  /** Takes what a later part of a file found: its rows count from there, its lines from `lines`. */
  append(part: FindingsPart, file: number, rows: number, lines: number): void {
    for (const [code, count] of part.counts) {
      this.counts.set(code, (this.counts.get(code) ?? 0) + count);
      const places = this.places.get(code) ?? [];
      this.places.set(code, places);
      for (const place of part.places.get(code) ?? []) {
        if (places.length >= this.max) break;
        const { row, line } = place;
        places.push({
          ...place,
          file,
          ...(row === undefined ? {} : { row: row + rows }),
          ...(line === undefined ? {} : { line: line + lines }),
        });
      }
    }
  }
}

export type FindingsPart = Pick<Findings, "counts" | "places">;
