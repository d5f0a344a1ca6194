import { mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { formatBytes, formatCount } from "../base/format.ts";
import { sha256 } from "../base/hash.ts";
import { silentHost } from "../base/host.ts";
import type { Host } from "../base/host.ts";
import { canonicalJson } from "../base/json.ts";
import { canonicalRow } from "./canonical.ts";
import type { Shape } from "./canonical.ts";
import { checkRows } from "./check.ts";
import { containerNames, readLayout } from "./read/layout.ts";
import { readRows } from "./read/rows.ts";
import type { Batch } from "./read/rows.ts";
import { Source } from "./read/source.ts";
import { chooseHeldOut } from "./split.ts";
import type { SplitOptions } from "./split.ts";
import { LineWriter } from "./write.ts";

export interface PrepareOptions {
  /** The dataset, absolute or from `cwd`. */
  readonly path: string;
  readonly cwd: string;
  readonly split: SplitOptions & {
    /** A field of the rows: rows with the same value stay on the same side. */
    readonly groupBy?: string | undefined;
  };
  /** Prepared datasets lie in here, each in a folder named by its fingerprint. */
  readonly outFolder: string;
  /** Hears how far a big file is (task "dataset"). */
  readonly host?: Host;
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
  /** What people should know of their data; stops nothing. */
  readonly warnings: readonly string[];
}

const shapeNames: Readonly<Record<Shape, string>> = {
  chat: "chat rows",
  alpaca: "Alpaca rows",
  prompt: "prompt and completion rows",
  text: "text rows",
};

/** From this size on, reading takes long enough to show. */
const bigBytes = 50_000_000;

/**
 * Reads a dataset, checks every row, splits it and writes both sides as canonical rows, in the
 * memory of eight bytes a row and the largest row. Nothing is written before the whole file is
 * known to be sound; a file appears under its name complete, or not at all.
 *
 * @throws MoxiError with one of the E_DATASET codes; E_CONFIG_INVALID for a `groupBy` that no row
 * has; E_DISK_FULL and E_PERMISSION by way of toMoxiError
 */
export async function prepareDataset(options: PrepareOptions): Promise<PreparedDataset> {
  const { path, cwd, split } = options;
  const source = await Source.open(path, cwd);
  try {
    const layout = await readLayout(source);
    const progress = progressOf(source, options.host ?? silentHost);
    const survey = await checkRows(source, progress(readRows(source, layout), 0), split.groupBy);
    const heldOut = chooseHeldOut(survey.keys, split);
    const written = await writeSides(
      options,
      source,
      progress(readRows(source, layout), 1),
      (row) => heldOut.has(survey.keys[row - 1]!),
    );
    const warnings = [...survey.warnings];
    if (layout.start > 0) warnings.unshift(`${source.name} begins with a byte order mark: skipped`);
    if (heldOut.size === 0 && split.evalFraction > 0 && split.maxEvalRows > 0) {
      warnings.push("all rows are equal or of one group: none is held out");
    }
    return {
      ...written,
      format: `${shapeNames[survey.shape]} in ${containerNames[layout.container]}`,
      sourceBytes: source.bytes,
      warnings,
    };
  } finally {
    await source.close();
  }
}

type Written = Pick<
  PreparedDataset,
  "fingerprint" | "trainRows" | "evalRows" | "trainFile" | "evalFile"
>;

/** Writes to a temporary folder; only what is whole and durable gets its name. */
async function writeSides(
  { outFolder, split }: PrepareOptions,
  source: Source,
  batches: AsyncIterable<Batch>,
  isHeldOut: (row: number) => boolean,
): Promise<Written> {
  await mkdir(outFolder, { recursive: true });
  const temporary = await mkdtemp(join(outFolder, ".tmp-"));
  const open: LineWriter[] = [];
  const create = async (name: string) => {
    const writer = await LineWriter.create(join(temporary, name));
    open.push(writer);
    return writer;
  };
  try {
    const train = await create("train.jsonl");
    const evaluation = await create("eval.jsonl");
    for await (const { rows } of batches) {
      for (const { value, row } of rows) {
        const side = isHeldOut(row) ? evaluation : train;
        await side.write(canonicalJson(canonicalRow(value, split.groupBy)));
      }
    }
    await source.refuseChange();
    const sides = evaluation.rows === 0 ? [train] : [train, evaluation];
    let digests = "";
    for (const side of sides) digests += `${await side.finish()}\n`;
    const fingerprint = sha256(digests);
    const folder = join(outFolder, fingerprint);
    await mkdir(folder, { recursive: true });
    // The same content is there already, or it is not: putting it there again changes nothing.
    const [trainFile, evalFile] = [join(folder, "train.jsonl"), join(folder, "eval.jsonl")];
    if (evaluation.rows > 0) await rename(evaluation.path, evalFile);
    await rename(train.path, trainFile);
    return {
      fingerprint,
      trainRows: train.rows,
      evalRows: evaluation.rows,
      trainFile,
      evalFile: evaluation.rows === 0 ? null : evalFile,
    };
  } catch (error) {
    await source.refuseChange(); // Why a row that was sound no longer is.
    throw error;
  } finally {
    await Promise.all(open.map((writer) => writer.close()));
    await rm(temporary, { recursive: true, force: true });
  }
}

/** Tells the host how far each of the two passes is, if the file is big. */
function progressOf(source: Source, host: Host) {
  return async function* (batches: AsyncIterable<Batch>, pass: 0 | 1): AsyncGenerator<Batch> {
    const big = source.bytes > bigBytes;
    const notify = (state: "started" | "progress" | "done", text: string, fraction: number) => {
      if (big) host.notify({ type: "task", id: "dataset", state, text, fraction });
    };
    const verb = pass === 0 ? "checking" : "splitting";
    const size = formatBytes(source.bytes);
    let told = 0;
    if (pass === 0) notify("started", `${verb} ${source.name} (${size})`, 0);
    let rows = 0;
    for await (const batch of batches) {
      rows += batch.rows.length;
      const read = batch.bytesRead / source.bytes;
      if (read - told >= 0.01) {
        told = read;
        notify("progress", `${verb} ${source.name}: ${formatCount(rows)} rows`, (pass + read) / 2);
      }
      yield batch;
    }
    if (pass === 1) notify("done", `${source.name}: ${formatCount(rows)} rows`, 1);
  };
}
