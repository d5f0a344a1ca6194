import { MoxiError } from "../base/errors.ts";
import { printable } from "../base/format.ts";
import type { CanonicalRow } from "../dataset/canonical.ts";
import type { DatasetRow } from "../dataset/canonical-rows.ts";

/** The row if it can be trained on, undefined if it may be skipped. @throws MoxiError E_DATASET_ROWS */
export function soundRow(row: DatasetRow, skipBadRows: boolean): CanonicalRow | undefined {
  const { canonical, file, line, row: number, problem = "" } = row;
  if (canonical !== undefined || skipBadRows) return canonical;
  throw new MoxiError("E_DATASET_ROWS", `a row cannot be read: ${printable(problem)}`, {
    hint: "moxi data check tells all that is wrong; --skip-bad-rows goes on without such rows",
    place: { file, line, row: number },
  });
}
