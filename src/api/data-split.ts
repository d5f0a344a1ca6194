import { basename, dirname, extname, join, resolve } from "node:path";
import { readDataset } from "../dataset/canonical-rows.ts";
import type { DatasetRow } from "../dataset/canonical-rows.ts";
import { isRecord } from "../base/json.ts";
import { goOn, writeNewFiles } from "../dataset/new-files.ts";
import { groupFields, partition, splitRowOf } from "../dataset/partition.ts";
import { field } from "../dataset/problem.ts";
import { rowLine } from "../dataset/row-line.ts";
import { load } from "./config.ts";
import type { Context } from "./context.ts";
import { checkSettings } from "./data-check.ts";
import { localDataset } from "./data-source.ts";
import { soundRow } from "./data-rows.ts";

export interface DataSplitOptions {
  /** The dataset, from where the command was given; else the config's. */
  readonly path?: string | undefined;
  /** The folder for both files; else that of the dataset. */
  readonly out?: string | undefined;
  /** Settings by their config key: stronger than every other source. */
  readonly flags?: Readonly<Record<string, unknown>> | undefined;
  /** Calls it back: nothing is left then. */
  readonly signal?: AbortSignal | undefined;
}

export interface DataSplit {
  readonly trainFile: string;
  readonly evalFile: string;
  readonly rows: { readonly train: number; readonly eval: number; readonly leftOut: number };
  /** The field whose values are never on both sides; null: rows of the same content are not. */
  readonly groupBy: string | null;
  /** So many kinds of answers are held out in their shares; 0 if the answers are no labels. */
  readonly labels: number;
}

/**
 * Writes the rows of a dataset as two files of JSON Lines, rows to learn from and rows to judge by:
 * the same choice for the same rows, nothing of one group on both sides. Rows stay as they were.
 *
 * @throws MoxiError E_DATASET_ROWS for rows that cannot be trained on, unless they may be skipped;
 * E_USAGE if a file is there already; and the E_DATASET codes
 */
export async function dataSplit(
  context: Context,
  { path, out, flags, signal }: DataSplitOptions = {},
): Promise<DataSplit> {
  const loaded = await load(context, flags);
  const { config } = loaded;
  const { columns, skipBadRows = false } = checkSettings(config);
  const named = path ?? config.dataset;
  const dataset = await localDataset(context, loaded, named);
  const source = { path: dataset, cwd: context.cwd, columns };
  const wanted = config.split.groupBy;
  const groupBy = wanted ?? (await groupOf(readDataset(source), signal));
  const rows: ReturnType<typeof splitRowOf>[] = [];
  let leftOut = 0;
  for await (const row of readDataset(source)) {
    goOn(signal);
    const canonical = soundRow(row, skipBadRows);
    if (canonical === undefined) leftOut += 1;
    else rows.push(splitRowOf(canonical, row.value, groupBy));
  }
  const { evalFraction, maxEvalRows } = config.split;
  const fraction = Math.min(evalFraction, maxEvalRows / Math.max(1, rows.length));
  const { heldOut, labels } = partition(rows, fraction);
  // What was fetched lies in a cache: new files of it belong where the command was given.
  const absolute = resolve(context.cwd, named === dataset ? dataset : basename(dataset));
  const folder = out === undefined ? dirname(absolute) : resolve(context.cwd, out);
  const name = basename(absolute).replace(/(?:\.(?:gz|zst))$/i, "");
  const stem = join(folder, basename(name, extname(name)));
  const [trainFile, evalFile] = [`${stem}.train.jsonl`, `${stem}.eval.jsonl`];
  const counts = await writeNewFiles([trainFile, evalFile], async ([train, evaluation]) => {
    let next = 0;
    for await (const row of readDataset(source)) {
      goOn(signal);
      if (row.canonical === undefined) continue;
      const side = heldOut.has(rows[next++]!.key) ? evaluation! : train!;
      await side.write(rowLine(row.value, row.text));
    }
    return { train: train!.rows, eval: evaluation!.rows, leftOut };
  });
  return { trainFile, evalFile, rows: counts, groupBy, labels };
}

/** The field that groups the rows: the first of the known ones that at least half of them have. */
async function groupOf(
  rows: AsyncIterable<DatasetRow>,
  signal: AbortSignal | undefined,
): Promise<string | null> {
  const counts = new Map<string, number>();
  let total = 0;
  for await (const { value } of rows) {
    goOn(signal);
    total += 1;
    if (!isRecord(value)) continue;
    for (const name of groupFields) {
      if (/string|number/.test(typeof field(value, name))) {
        counts.set(name, (counts.get(name) ?? 0) + 1);
      }
    }
  }
  return groupFields.find((name) => 2 * (counts.get(name) ?? 0) >= total && total > 0) ?? null;
}
