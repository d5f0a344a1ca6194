import type { RuleCode } from "./catalog.ts";
import { findCandidates, nearSimilarity, shinglesOf, similarity } from "./near.ts";
import { Groups } from "./groups.ts";
import { maxSketches } from "./table.ts";
import type { RowTable } from "./table.ts";

export interface ComparisonOptions {
  readonly sideOf: (row: number) => "train" | "eval";
  /** @param detail what follows the name of the row that it is like */
  readonly found: (code: RuleCode, row: number, like: number, detail: string) => void;
  /** The texts of some rows, in the order of the rows. */
  readonly textsOf: (rows: ReadonlySet<number>) => AsyncIterable<readonly [number, string[]]>;
}

/** So many pairs are compared word by word; their sketches decide about the others. */
const maxPairs = 100_000;

/** Compares every row with all others: equal, almost equal, equal prompts, equal rows on both sides. */
export class Comparison {
  readonly #table: RowTable;
  readonly #options: ComparisonOptions;
  readonly #equal: Uint8Array;
  readonly #groups: Groups;

  constructor(table: RowTable, options: ComparisonOptions) {
    this.#table = table;
    this.#options = options;
    this.#equal = new Uint8Array(table.rows);
    this.#groups = new Groups(table.rows);
  }

  get limited(): boolean {
    return this.#table.rows > maxSketches;
  }

  async run(): Promise<void> {
    this.#findEqual();
    this.#findConflicts();
    await this.#findNear();
  }

  #findEqual(): void {
    const table = this.#table;
    for (let row = 0; row < table.rows; row++) {
      if (Number.isNaN(table.identity(row))) this.#equal[row] = 1;
    }
    const first = this.#firstOf((row) => table.identity(row));
    for (let row = 0; row < table.rows; row++) {
      const like = first[row]!;
      if (like === row) continue;
      this.#equal[row] = 1;
      const crossing = this.#crosses(row, like);
      this.#options.found(crossing ? "leak" : "duplicate", row, like, "");
    }
  }

  #crosses(row: number, like: number): boolean {
    return this.#options.sideOf(row) !== this.#options.sideOf(like);
  }

  #findConflicts(): void {
    const table = this.#table;
    const first = this.#firstOf((row) => table.prompt(row));
    for (let row = 0; row < table.rows; row++) {
      const like = first[row]!;
      if (like !== row) this.#options.found("conflicting-answers", row, like, "");
    }
  }

  /** Of every row the first with the same value, or the row itself; rows that are equal to one before stay out. */
  #firstOf(valueOf: (row: number) => number): Int32Array {
    const { rows } = this.#table;
    const { keys } = this.#groups;
    const first = new Int32Array(rows);
    for (let row = 0; row < rows; row++) {
      first[row] = row;
      const value = this.#equal[row] === 1 ? NaN : valueOf(row);
      // The lower half of 53 bits, mixed with the upper one.
      keys[row] = Number.isNaN(value) ? 0 : (value ^ Math.floor(value / 0x100000000)) | 1;
    }
    this.#groups.search(rows, (row, earlier) => {
      if (valueOf(row) !== valueOf(earlier)) return true;
      first[row] = first[earlier]!;
      return false;
    });
    return first;
  }

  async #findNear(): Promise<void> {
    const candidates = findCandidates(this.#table, this.#groups, (row) => this.#equal[row] === 1);
    if (candidates.length === 0) return;
    const looked = candidates.slice(0, maxPairs);
    const wanted = new Set(looked.flatMap(({ row, like }) => [row, like]));
    const shingles = new Map<number, Uint32Array>();
    const likeOf = new Map(looked.map(({ row, like }) => [row, like]));
    const lastUse = new Map<number, number>();
    for (const { row, like } of looked) lastUse.set(like, row);
    for await (const [row, texts] of this.#options.textsOf(wanted)) {
      const own = shinglesOf(texts);
      const like = likeOf.get(row);
      if (like !== undefined) {
        this.#judge(row, like, similarity(own, shingles.get(like) ?? new Uint32Array(0)));
        if (lastUse.get(like) === row) shingles.delete(like);
      }
      if (lastUse.has(row)) shingles.set(row, own);
    }
    for (const { row, like } of candidates.slice(maxPairs)) {
      this.#judge(row, like, this.#table.likeness(row, like));
    }
  }

  #judge(row: number, like: number, value: number): void {
    if (value < nearSimilarity) return;
    const code = this.#crosses(row, like) ? "near-leak" : "near-duplicate";
    this.#options.found(
      code,
      row,
      like,
      `, similarity ${(Math.floor(value * 100) / 100).toFixed(2)}`,
    );
  }
}
