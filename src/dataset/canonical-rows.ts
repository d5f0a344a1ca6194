import { MoxiError } from "../base/errors.ts";
import { isRecord } from "../base/json.ts";
import { canonicalRow } from "./canonical.ts";
import type { CanonicalRow } from "./canonical.ts";

import { adapt, formOfSettings } from "./forms/form.ts";
import type { ColumnSettings, Form } from "./forms/form.ts";
import { sampleForm } from "./forms/sample.ts";
import { RowProblem } from "./problem.ts";
import { findFiles } from "./read/files.ts";
import { readLayout } from "./read/layout.ts";
import { readRows } from "./read/rows.ts";
import { Source } from "./read/source.ts";

export interface RowsOptions {
  /** A file or a folder of files, absolute or from `cwd`. */
  readonly path: string;
  readonly cwd: string;
  readonly columns?: ColumnSettings | undefined;
  readonly groupBy?: string | undefined;
  /** Rows that are wanted, counted from 0 over all files; the others are passed over. */
  readonly only?: (index: number) => boolean;
}

/** A row of a dataset, in the one form that is trained on, and where it stands. */
export interface DatasetRow {
  /** Counted from 0 over all files. */
  readonly index: number;
  /** Safe to print. */
  readonly file: string;
  readonly line: number;
  /** Counted from 1 in its file. */
  readonly row: number;
  readonly form: Form;
  /** As it was written. */
  readonly value: unknown;
  /** The same as text, of a row of JSON. */
  readonly text?: string | undefined;
  /** Undefined where `problem` says why; `moxi data check` says more. */
  readonly canonical?: CanonicalRow;
  readonly problem?: string;
}

/**
 * The rows of a dataset of any format, one after the other, in the memory of the largest.
 *
 * @throws MoxiError with one of the E_DATASET codes
 */
export async function* readDataset(options: RowsOptions): AsyncGenerator<DatasetRow> {
  const { path, cwd, columns = {}, groupBy, only } = options;
  const { files } = await findFiles(path, cwd);
  let index = 0;
  for (const file of files) {
    const source = await Source.open(file.path, cwd, file.name);
    try {
      const layout = await readLayout(source);
      const form = formOfSettings(columns) ?? (await sampleForm(source, layout));
      const first = index;
      const wanted = only && ((row: number) => only(first + row - 1));
      const how = { tolerant: true, ...(wanted && { only: wanted }) };
      for await (const { rows } of readRows(source, layout, how)) {
        for (const { value, text, row, line, problem } of rows) {
          const at = first + row - 1;
          index = at + 1;
          if (only !== undefined && !only(at)) continue;
          const place = { index: at, file: source.name, line, row, form, value, text };
          if (problem !== undefined) yield { ...place, problem: problem.message };
          else yield { ...place, ...canonicalOf(form, value, groupBy) };
        }
      }
    } finally {
      await source.close();
    }
  }
}

function canonicalOf(
  form: Form,
  value: unknown,
  groupBy: string | undefined,
): Pick<DatasetRow, "canonical" | "problem"> {
  if (!isRecord(value)) return { problem: "the row is no object" };
  try {
    return { canonical: canonicalRow(adapt(form, value, groupBy), groupBy) };
  } catch (error) {
    if (error instanceof RowProblem) return { problem: error.message };
    throw error;
  }
}

/** One row of a dataset, counted from 1 over all files. @throws MoxiError E_USAGE if there is none */
export async function readOneRow(options: RowsOptions, number: number): Promise<DatasetRow> {
  let seen = 0;
  const only = (index: number) => {
    seen = index + 1;
    return index === number - 1;
  };
  for await (const row of readDataset({ ...options, only })) return row;
  const has = seen === 1 ? "one row" : `${seen} rows`;
  throw new MoxiError("E_USAGE", `there is no row ${number}: the dataset has ${has}`, {
    hint: "rows are counted from 1",
    place: { field: "row" },
  });
}
