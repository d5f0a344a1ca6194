import { isMoxiError } from "../../base/errors.ts";
import type { Layout } from "../read/layout.ts";
import { readRows } from "../read/rows.ts";
import type { Source } from "../read/source.ts";
import type { Form } from "./form.ts";
import { Vote } from "./vote.ts";

/** So many rows are looked at to tell the form of a file. */
const sampleRows = 1000;
const sampleBytes = 4 * 1024 * 1024;

/** The form that most of the first rows have; what no row tells is judged as chat rows. */
export async function sampleForm(source: Source, layout: Layout): Promise<Form> {
  const vote = new Vote();
  try {
    for await (const { rows, bytesRead } of readRows(source, layout, { tolerant: true })) {
      for (const row of rows) vote.add(row);
      if (vote.rows >= sampleRows || (vote.rows > 0 && bytesRead >= sampleBytes)) break;
    }
  } catch (error) {
    if (!isMoxiError(error)) throw error; // The check tells it, with what stands before it.
  }
  return vote.winner ?? { kind: "chat", field: "messages", assumed: true };
}
