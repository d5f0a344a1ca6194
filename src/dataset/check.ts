import { MoxiError } from "../base/errors.ts";
import { formatCount, nearestName, printable } from "../base/format.ts";
import { isRecord } from "../base/json.ts";
import { canonicalRow, shapeOf, shapes } from "./canonical.ts";
import type { CanonicalRow, Shape } from "./canonical.ts";
import { RowProblem } from "./problem.ts";
import type { Batch, RawRow } from "./read/rows.ts";
import { emptyDataset } from "./read/source.ts";
import type { Source } from "./read/source.ts";
import { splitKey } from "./split.ts";

/** What one reading of a whole, sound file tells. */
export interface Survey {
  readonly shape: Shape;
  /** The split key of every row, in the order of the file. */
  readonly keys: BigUint64Array;
  readonly warnings: readonly string[];
}

const keptProblems = 20;
const keptNames = 1000;

/**
 * Reads every row and keeps eight bytes of each: whether all can be trained on, and what splits them.
 *
 * @throws MoxiError E_DATASET_EMPTY, E_DATASET_ROWS, E_DATASET_TOO_SMALL; E_CONFIG_INVALID if no
 * row has the field `groupBy`; and what reading throws
 */
export async function checkRows(
  source: Source,
  batches: AsyncIterable<Batch>,
  groupBy: string | undefined,
): Promise<Survey> {
  const problems = new Problems(source.name);
  const seen = new Map<Shape, RawRow>();
  const names = new Set<string>();
  const keys = new KeyList();
  let rows = 0;
  let ungrouped = 0;
  let mended = 0;
  for await (const batch of batches) {
    for (const raw of batch.rows) {
      rows += 1;
      try {
        const row = canonicalRow(raw.value, groupBy);
        keys.push(splitKey(row));
        if (groupBy !== undefined && row.group === undefined) ungrouped += 1;
        if (wasMended(row, raw.value)) mended += 1;
      } catch (error) {
        if (!(error instanceof RowProblem)) throw error;
        problems.add(raw, error);
      }
      if (!isRecord(raw.value)) continue;
      const shape = shapeOf(raw.value);
      if (shape !== undefined && !seen.has(shape)) seen.set(shape, raw);
      if (ungrouped === rows && names.size < keptNames) {
        for (const name of Object.keys(raw.value)) names.add(name);
      }
    }
  }
  if (rows === 0) {
    throw emptyDataset(source.name, "has no rows");
  }
  problems.refuse(rows);
  refuseMixture(source, seen);
  if (groupBy !== undefined && ungrouped === rows) throw unknownGroup(source, groupBy, names);
  if (rows < 2) {
    throw new MoxiError("E_DATASET_TOO_SMALL", `${source.name} has one row`, {
      hint: "a model learns little from fewer than 50 rows",
      place: { file: source.name },
    });
  }
  const warnings: string[] = [];
  if (ungrouped > 0) {
    warnings.push(
      `${count(ungrouped, rows)} have no ${printable(groupBy!)} to group them by: they are split by content`,
    );
  }
  if (mended > 0) {
    warnings.push(`${count(mended, rows)} held half an emoji or the like: U+FFFD takes its place`);
  }
  return { shape: [...seen.keys()][0]!, keys: keys.toArray(), warnings };
}

/** All problems counted, the first ones kept. */
class Problems {
  readonly #file: string;
  readonly #details: string[] = [];
  #count = 0;
  #first: { raw: RawRow; problem: RowProblem } | undefined;

  constructor(file: string) {
    this.#file = file;
  }

  add(raw: RawRow, problem: RowProblem): void {
    this.#count += 1;
    this.#first ??= { raw, problem };
    if (this.#details.length >= keptProblems) return;
    this.#details.push(printable(`${this.#file}:${raw.line} (row ${raw.row}) ${problem.message}`));
  }

  refuse(rows: number): void {
    if (this.#first === undefined) return;
    const { raw, problem } = this.#first;
    const field = problem.field === "" ? {} : { field: printable(problem.field) };
    throw new MoxiError(
      "E_DATASET_ROWS",
      `${count(this.#count, rows)} of ${this.#file} cannot be trained on`,
      {
        hint: "mend these rows or take them out, then run the same command again",
        place: { file: this.#file, line: raw.line, row: raw.row, ...field },
        details: this.#details,
      },
    );
  }
}

function refuseMixture(source: Source, seen: ReadonlyMap<Shape, RawRow>): void {
  const [first, second] = [...seen];
  if (first === undefined || second === undefined) return;
  const { line, row } = second[1];
  throw new MoxiError("E_DATASET_ROWS", `${source.name} mixes rows of several forms`, {
    hint: "keep one form of row in a file",
    place: { file: source.name, line, row },
    details: Array.from(seen, ([shape, raw]) => {
      return `${source.name}:${raw.line} (row ${raw.row}) is the first with ${shapes[shape]}`;
    }),
  });
}

function unknownGroup(source: Source, groupBy: string, names: ReadonlySet<string>): MoxiError {
  const near = nearestName(groupBy, names);
  return new MoxiError(
    "E_CONFIG_INVALID",
    `split.groupBy is ${printable(JSON.stringify(groupBy))}, a field that no row of ${source.name} has`,
    {
      place: { field: "split.groupBy" },
      hint: `${near === undefined ? "the rows have" : "did you mean"} ${printable(near ?? [...names].slice(0, 10).join(", "))}`,
    },
  );
}

/** True if U+FFFD took the place of half a surrogate pair. */
function wasMended(row: CanonicalRow, value: unknown): boolean {
  return holdsReplacement(row) && hasHalfPair(value);
}

function holdsReplacement(value: unknown): boolean {
  if (typeof value === "string") return value.includes("\ufffd");
  return typeof value === "object" && value !== null && Object.values(value).some(holdsReplacement);
}

function hasHalfPair(value: unknown): boolean {
  if (typeof value === "string") return !value.isWellFormed();
  if (typeof value !== "object" || value === null) return false;
  return Object.entries(value).flat().some(hasHalfPair);
}

/** "3 of 1,240 rows" */
function count(some: number, rows: number): string {
  return `${formatCount(some)} of ${formatCount(rows)} rows`;
}

/** Numbers that may be many, in eight bytes each. */
class KeyList {
  #keys = new BigUint64Array(1024);
  #length = 0;

  push(key: bigint): void {
    if (this.#length === this.#keys.length) {
      const grown = new BigUint64Array(2 * this.#length);
      grown.set(this.#keys);
      this.#keys = grown;
    }
    this.#keys[this.#length] = key;
    this.#length += 1;
  }

  toArray(): BigUint64Array {
    return this.#keys.subarray(0, this.#length);
  }
}
