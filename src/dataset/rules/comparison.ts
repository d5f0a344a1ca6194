import type { RuleCode } from "./catalog.ts";
import { findCandidates, nearSimilarity, shinglesOf, similarity } from "./near.ts";
import { FirstRows, maxSketches, slotsFor } from "./table.ts";
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
  readonly #slots: Int32Array;

  constructor(table: RowTable, options: ComparisonOptions) {
    this.#table = table;
    this.#options = options;
    this.#equal = new Uint8Array(table.rows);
    this.#slots = slotsFor(table.rows);
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
    const first = new FirstRows(this.#slots, (row) => table.identity(row));
    for (let row = 0; row < table.rows; row++) {
      if (Number.isNaN(table.identity(row))) {
        this.#equal[row] = 1;
        continue;
      }
      const like = first.of(row);
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
    const first = new FirstRows(this.#slots, (row) => table.prompt(row));
    for (let row = 0; row < table.rows; row++) {
      if (this.#equal[row] === 1 || Number.isNaN(table.prompt(row))) continue;
      const like = first.of(row);
      if (like !== row) this.#options.found("conflicting-answers", row, like, "");
    }
  }

  async #findNear(): Promise<void> {
    const candidates = findCandidates(this.#table, this.#slots, (row) => this.#equal[row] === 1);
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
