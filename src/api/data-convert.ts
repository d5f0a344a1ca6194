import { basename, dirname, extname, join, resolve } from "node:path";
import { readDataset } from "../dataset/canonical-rows.ts";
import { hideSecrets } from "../dataset/hide-secrets.ts";
import { convertRow, unreadOf } from "../dataset/convert.ts";
import type { RowFormat } from "../dataset/convert.ts";
import { goOn, writeNewFiles } from "../dataset/new-files.ts";
import { load } from "./config.ts";
import type { Context } from "./context.ts";
import { checkSettings } from "./data-check.ts";
import { localDataset } from "./data-source.ts";
import { soundRow } from "./data-rows.ts";

export interface DataConvertOptions {
  readonly to: RowFormat;
  /** The dataset, from where the command was given; else the config's. */
  readonly path?: string | undefined;
  /** The new file; else beside the dataset, `NAME.FORMAT.jsonl`. */
  readonly out?: string | undefined;
  /** Settings by their config key: stronger than every other source. */
  readonly flags?: Readonly<Record<string, unknown>> | undefined;
  /** Calls it back: nothing is left then. */
  readonly signal?: AbortSignal | undefined;
}

export interface DataConvert {
  readonly file: string;
  readonly rows: {
    readonly written: number;
    /** The format cannot hold them. */
    readonly refused: number;
    /** They cannot be trained on. */
    readonly leftOut: number;
  };
  /** What was lost, and of how many rows; empty: nothing. Safe to print only when escaped. */
  readonly lost: readonly { readonly what: string; readonly rows: number }[];
}

/**
 * Writes a dataset as JSON Lines in another format, and tells what that format cannot hold.
 *
 * @throws MoxiError E_DATASET_ROWS for rows that cannot be read, unless they may be skipped; E_USAGE
 * if the new file is there already; and the E_DATASET codes
 */
export async function dataConvert(
  context: Context,
  { to, path, out, flags, signal }: DataConvertOptions,
): Promise<DataConvert> {
  const loaded = await load(context, flags);
  const { config } = loaded;
  const { columns, skipBadRows = false } = checkSettings(config);
  const named = path ?? config.dataset;
  const dataset = await localDataset(context, loaded, named);
  // The project's field to group by is no field of just any file.
  const groupBy = path === undefined ? config.split.groupBy : undefined;
  // What was fetched lies in a cache: new files of it belong where the command was given.
  const absolute = resolve(context.cwd, named === dataset ? dataset : basename(dataset));
  const name = basename(absolute).replace(/(?:\.(?:gz|zst))$/i, "");
  const beside = join(dirname(absolute), `${basename(name, extname(name))}.${to}.jsonl`);
  const file = out === undefined ? beside : resolve(context.cwd, out);
  const lost = new Map<string, number>();
  let [refused, leftOut] = [0, 0];
  const written = await writeNewFiles([file], async ([writer]) => {
    for await (const row of readDataset({ path: dataset, cwd: context.cwd, columns, groupBy })) {
      goOn(signal);
      const canonical = soundRow(row, skipBadRows);
      if (canonical === undefined) {
        leftOut += 1;
        continue;
      }
      const converted = convertRow(canonical, to);
      for (const what of converted.lost) lost.set(what, (lost.get(what) ?? 0) + 1);
      if (converted.row === null) {
        refused += 1;
        continue;
      }
      for (const what of unreadOf(row.form, row.value)) {
        if (what !== `the field "${groupBy}"`) lost.set(what, (lost.get(what) ?? 0) + 1);
      }
      await writer!.write(JSON.stringify(converted.row));
    }
    return writer!.rows;
  });
  return {
    file,
    rows: { written, refused, leftOut },
    lost: Array.from(lost, ([what, rows]) => ({ what: hideSecrets(what), rows })),
  };
}
