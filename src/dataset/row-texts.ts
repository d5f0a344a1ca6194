import { isMoxiError } from "../base/errors.ts";
import { isRecord } from "../base/json.ts";
import { canonicalRow } from "./canonical.ts";
import type { CanonicalRow } from "./canonical.ts";
import { adapt } from "./forms/form.ts";
import type { Form } from "./forms/form.ts";
import { RowProblem } from "./problem.ts";
import type { Layout } from "./read/layout.ts";
import { readRows } from "./read/rows.ts";
import type { Source } from "./read/source.ts";

/** A file whose rows were checked before. */
export interface KnownFile {
  readonly source: Source;
  readonly layout: Layout;
  readonly form: Form;
  /** Counted from 0 over all files. */
  readonly firstRow: number;
  readonly rows: number;
}

/**
 * Reads files again for some of their rows, in the order of the rows. Rows that cannot be read are
 * passed over.
 *
 * @param wanted of a row counted from 0 over all files
 * @param broken a file may end where it cannot be read
 */
export async function* readAgain(
  files: readonly KnownFile[],
  wanted: (row: number) => boolean,
  broken: boolean,
): AsyncGenerator<readonly [number, CanonicalRow]> {
  for (const { source, layout, form, firstRow, rows } of files) {
    let any = false;
    for (let row = firstRow; row < firstRow + rows && !any; row++) any = wanted(row);
    if (!any) continue;
    try {
      const only = (row: number) => wanted(firstRow + row - 1);
      for await (const batch of readRows(source, layout, { tolerant: true, only })) {
        for (const { row, value } of batch.rows) {
          if (!only(row) || !isRecord(value)) continue;
          const read = canonicalOf(form, value);
          if (read !== undefined) yield [firstRow + row - 1, read];
        }
      }
    } catch (error) {
      if (!isMoxiError(error) || !broken) throw error;
    }
  }
}

function canonicalOf(form: Form, value: Record<string, unknown>): CanonicalRow | undefined {
  try {
    return canonicalRow(adapt(form, value));
  } catch (error) {
    if (error instanceof RowProblem) return undefined;
    throw error;
  }
}

/** What a row is compared with others by: what users and assistants say, and what is called. */
export function comparedTexts(row: CanonicalRow): string[] {
  if ("text" in row) return [row.text];
  return row.messages.flatMap(({ role, content, tool_calls: calls = [] }) => [
    ...(role === "user" || role === "assistant" ? [content] : []),
    ...calls.map((call) => call.function.name + call.function.arguments),
  ]);
}
