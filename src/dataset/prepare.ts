import { mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { MoxiError } from "../base/errors.ts";
import type { ErrorCode } from "../base/errors.ts";
import { writeFileAtomic } from "../base/files.ts";
import { formatCount } from "../base/format.ts";
import { sha256OfFile } from "../base/file-hash.ts";
import { sha256 } from "../base/hash.ts";
import { silentHost } from "../base/host.ts";
import type { Host } from "../base/host.ts";
import { canonicalJson, isRecord } from "../base/json.ts";
import { readDataset } from "./canonical-rows.ts";
import type { DatasetRow } from "./canonical-rows.ts";
import { canonicalRow } from "./canonical.ts";
import { checkDataset } from "./check.ts";
import { reportOf } from "./report.ts";
import type { DatasetCheck, DatasetStats, Problem } from "./report.ts";
import { adapt } from "./forms/form.ts";
import type { ColumnSettings } from "./forms/form.ts";
import { readRows } from "./read/rows.ts";
import { Source } from "./read/source.ts";
import { readingOf } from "./reading.ts";
import type { LevelSettings } from "./rules/catalog.ts";
import { chooseHeldOut } from "./split.ts";
import type { SplitOptions } from "./split.ts";
import { placeText, problemText } from "./telling.ts";
import { LineWriter } from "./write.ts";

export interface PrepareOptions extends LevelSettings {
  /** The dataset, absolute or from `cwd`. */
  readonly path: string;
  readonly cwd: string;
  readonly split: SplitOptions & {
    /** A field of the rows: rows with the same value stay on the same side. */
    readonly groupBy?: string | undefined;
  };
  readonly columns?: ColumnSettings | undefined;
  /** Go on without the rows that have errors. */
  readonly skipBadRows?: boolean | undefined;
  /** Prepared datasets lie in here, each in a folder named by its fingerprint. */
  readonly outFolder: string;
  /** Hears how far a big file is (task "dataset"). */
  readonly host?: Host;
  /** Looks at the rows that have no error, as training will see them, before anything is written. */
  readonly inspect?: Inspect | undefined;
}

/**
 * @param rows each with the side that it is on
 * @param bytes of the dataset
 */
export type Inspect = (
  rows: AsyncIterable<{ readonly row: DatasetRow; readonly heldOut: boolean }>,
  bytes: number,
) => Promise<Inspection>;

export interface Inspection {
  readonly problems: readonly Problem[];
  /** Indices of the rows that cannot be trained on. */
  readonly bad: ReadonlySet<number>;
  /** What was counted, to be kept with what the check found. */
  readonly tokens: object | undefined;
}

export interface PreparedDataset {
  /**
   * SHA-256 of the SHA-256 (in hex, each with a line feed) of the training file and, if rows are
   * held out, of the held-out file: `sha256sum train.jsonl eval.jsonl | cut -c-64 | sha256sum`.
   */
  readonly fingerprint: string;
  readonly trainRows: number;
  readonly evalRows: number;
  /** Absolute; canonical JSON, one row a line, in the order of the source. */
  readonly trainFile: string;
  /** `null` if no rows are held out. */
  readonly evalFile: string | null;
  /** For people: "alpaca rows in a JSON array". */
  readonly format: string;
  readonly sourceBytes: number;
  readonly stats: DatasetStats;
  /** What people should know of their data; stops nothing. */
  readonly warnings: readonly string[];
}

/**
 * Checks a dataset by every rule, splits it and writes both sides as canonical rows, in the memory
 * of 92 bytes a row and the largest row. Nothing is written before all of it is known to be sound; a
 * file appears under its name complete, or not at all. What the check found lies beside them, in
 * check.json.
 *
 * @throws MoxiError with one of the E_DATASET codes; E_CONFIG_INVALID for a `groupBy` that no row
 * has; E_DISK_FULL and E_PERMISSION by way of toMoxiError
 */
export async function prepareDataset(options: PrepareOptions): Promise<PreparedDataset> {
  const { split, skipBadRows = false } = options;
  let check = await checkDataset({ ...options, groupBy: split.groupBy, splitKeys: true });
  refuseBad(check, skipBadRows);
  let isHeldOut = chooseSide(check, split);
  if (options.inspect !== undefined) {
    const look = () => options.inspect!(soundRows(options, check, isHeldOut), check.stats.bytes);
    const found = await look();
    check = withMore(check, found);
    refuseBad(check, skipBadRows);
    if (found.bad.size > 0) {
      // Other rows are held out now, and other tokens are left.
      isHeldOut = chooseSide(check, split);
      check = { ...check, tokens: (await look()).tokens };
    }
  }
  const written = await writeSides(options, check, isHeldOut);
  const { total, usable } = check.rows;
  const warnings = check.problems.filter(({ severity }) => severity === "warning").map(problemText);
  if (usable < total) {
    warnings.unshift(
      `${formatCount(total - usable)} of ${formatCount(total)} rows were left out: they have errors`,
    );
  }
  if (written.evalRows === 0 && split.evalFraction > 0 && split.maxEvalRows > 0) {
    warnings.push("all rows are equal or of one group: none is held out");
  }
  const { format, stats } = check;
  return { ...written, format, sourceBytes: stats.bytes, stats, warnings };
}

/** Splits the rows that have no error. */
function chooseSide(check: DatasetCheck, split: SplitOptions): (row: number) => boolean {
  const { total, usable } = check.rows;
  const keys = new BigUint64Array(usable);
  let next = 0;
  for (let row = 0; row < total; row++) {
    if (!check.isBad(row)) keys[next++] = check.splitKeys[row]!;
  }
  const heldOut = chooseHeldOut(keys, split);
  return (row) => heldOut.has(check.splitKeys[row]!);
}

async function* soundRows(
  { path, cwd, columns, split: { groupBy } }: PrepareOptions,
  { isBad, rows: { total } }: DatasetCheck,
  isHeldOut: (row: number) => boolean,
) {
  const only = (index: number) => index < total && !isBad(index);
  for await (const row of readDataset({ path, cwd, columns, groupBy, only })) {
    yield { row, heldOut: isHeldOut(row.index) };
  }
}

/** The check with what was found besides. */
function withMore(check: DatasetCheck, { problems, bad, tokens }: Inspection): DatasetCheck {
  const { total, usable } = check.rows;
  return {
    ...check,
    tokens,
    problems: [...check.problems, ...problems],
    rows: { total, usable: usable - bad.size },
    isBad: (row) => check.isBad(row) || bad.has(row),
  };
}

/** Refuses what cannot be trained on. */
function refuseBad(check: DatasetCheck, skipBadRows: boolean): void {
  const { problems, rows, form } = check;
  const names = check.files.map(({ name }) => name);
  const file = names.length === 1 ? names[0]! : `${names[0]} and ${names.length - 1} more`;
  if (check.unreadable !== null) throw check.unreadable;
  const errors = problems.filter(({ severity }) => severity === "error");
  const stopping = skipBadRows ? errors.filter(({ code }) => isOfFile(code)) : errors;
  const left = skipBadRows ? rows.usable : rows.total;
  if (stopping.length === 0 && left < 2) {
    throw new MoxiError(
      "E_DATASET_TOO_SMALL",
      `${file} has ${left === 1 ? "one row" : "no row"} to train on`,
      {
        hint: "a model learns little from fewer than 50 rows",
        place: { file: names[0]! },
      },
    );
  }
  if (stopping.length > 0) {
    const bad = rows.total - rows.usable;
    const first = stopping[0]!.places[0];
    const { detail: _, ...place } = first ?? { file: names[0]! };
    throw new MoxiError(
      codeOf(stopping),
      bad === 0
        ? `${file} cannot be trained on`
        : `${formatCount(bad)} of ${formatCount(rows.total)} rows of ${file} cannot be trained on`,
      {
        hint: "mend these rows, or go on without them with --skip-bad-rows; moxi data check shows all that is found",
        place,
        details: stopping.flatMap((problem) => [
          `${problemText(problem)} (${problem.code})`,
          ...problem.places.map((one) => `  ${placeText(one)}`),
        ]),
      },
    );
  }
  if (form.kind !== "preference") return;
  throw new MoxiError(
    "E_DATASET_ROWS",
    `${file} holds preference pairs, which train cannot learn from`,
    {
      hint: "train learns from answers, not from comparisons: moxi data convert keeps the better ones",
      place: { file: names[0]! },
    },
  );
}

/** One code where all errors are of its kind. */
function codeOf(errors: readonly Problem[]): ErrorCode {
  const all = (...codes: readonly string[]) => errors.every(({ code }) => codes.includes(code));
  if (all("syntax", "not-a-number")) return "E_DATASET_SYNTAX";
  return all("encoding", "nul-byte") ? "E_DATASET_ENCODING" : "E_DATASET_ROWS";
}

const ofFile = new Set([
  "mixed-files",
  "too-few-rows",
  "constant-prefix",
  "ungrouped",
  "name-mismatch",
  "byte-order-mark",
  "outside-link",
]);
const isOfFile = (code: string): boolean => ofFile.has(code);

type Written = Pick<
  PreparedDataset,
  "fingerprint" | "trainRows" | "evalRows" | "trainFile" | "evalFile"
>;

/** Writes to a temporary folder; only what is whole and durable gets its name. */
async function writeSides(
  options: PrepareOptions,
  check: DatasetCheck,
  isHeldOut: (row: number) => boolean,
): Promise<Written> {
  const { outFolder, cwd } = options;
  await mkdir(outFolder, { recursive: true });
  const temporary = await mkdtemp(join(outFolder, ".tmp-"));
  const open: LineWriter[] = [];
  const sources: Source[] = [];
  const create = async (name: string) => {
    const writer = await LineWriter.create(join(temporary, name));
    open.push(writer);
    return writer;
  };
  const refuseChange = async () => {
    for (const source of sources) await source.refuseChange();
  };
  try {
    const train = await create("train.jsonl");
    const evaluation = await create("eval.jsonl");
    let row = 0;
    for (const file of check.files) {
      const source = await Source.open(file.path, cwd, file.name);
      sources.push(source);
      const tell = readingOf(source, options.host ?? silentHost, "splitting", [0, 1]);
      for await (const line of canonicalLines(source, file, options, (index) =>
        check.isBad(row + index),
      )) {
        const side = isHeldOut(row + line.index) ? evaluation : train;
        await side.write(line.text);
        tell.rows(line.index);
      }
      row += file.rows;
      tell.done(file.rows);
    }
    await refuseChange();
    const sides = evaluation.rows === 0 ? [train] : [train, evaluation];
    const digests: string[] = [];
    for (const side of sides) digests.push(await side.finish());
    const fingerprint = sha256(digests.map((digest) => `${digest}\n`).join(""));
    const folder = join(outFolder, fingerprint);
    await mkdir(folder, { recursive: true });
    await writeFileAtomic(
      join(folder, "check.json"),
      `${JSON.stringify(reportOf(check), null, 2)}\n`,
    );
    const [trainFile, evalFile] = [join(folder, "train.jsonl"), join(folder, "eval.jsonl")];
    if (evaluation.rows > 0) await settle(evaluation.path, evalFile, digests[1]!);
    await settle(train.path, trainFile, digests[0]!);
    return {
      fingerprint,
      trainRows: train.rows,
      evalRows: evaluation.rows,
      trainFile,
      evalFile: evaluation.rows === 0 ? null : evalFile,
    };
  } catch (error) {
    await refuseChange(); // Why a row that was sound no longer is.
    throw error;
  } finally {
    await Promise.all([
      ...open.map((writer) => writer.close()),
      ...sources.map((one) => one.close()),
    ]);
    await rm(temporary, { recursive: true, force: true });
  }
}

/** What is there already stays as it is: another command may be sending it at this moment. */
async function settle(path: string, file: string, digest: string): Promise<void> {
  const there = await sha256OfFile(file).catch(() => undefined);
  if (there !== digest) await rename(path, file);
}

async function* canonicalLines(
  source: Source,
  { layout, form, rows: known }: DatasetCheck["files"][number],
  { split: { groupBy } }: PrepareOptions,
  isBad: (index: number) => boolean,
): AsyncGenerator<{ readonly index: number; readonly text: string }> {
  for await (const { rows } of readRows(source, layout, { tolerant: true })) {
    for (const { value, row } of rows) {
      const index = row - 1;
      if (index >= known || isBad(index) || !isRecord(value)) continue;
      yield { index, text: canonicalJson(canonicalRow(adapt(form, value, groupBy), groupBy)) };
    }
  }
}
