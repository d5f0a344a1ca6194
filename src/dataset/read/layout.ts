import { MoxiError } from "../../base/errors.ts";
import { explain } from "./place.ts";
import { emptyDataset } from "./source.ts";
import type { Source } from "./source.ts";
import { Unreadable } from "./unreadable.ts";

/** How the rows stand in the file. */
export interface Layout {
  readonly container: "array" | "lines";
  /** Where the text begins, in bytes: after a byte order mark. */
  readonly start: number;
}

/**
 * Tells a JSON array from JSON Lines by the first character, never by the file's name.
 *
 * @throws MoxiError E_DATASET_EMPTY, E_DATASET_ENCODING, E_DATASET_SYNTAX
 */
export async function readLayout(source: Source): Promise<Layout> {
  const head = await source.slice(0, 3);
  const mark = head.toString("hex");
  if (mark.startsWith("fffe") || mark.startsWith("feff")) {
    throw new MoxiError("E_DATASET_ENCODING", `${source.name} is UTF-16, not UTF-8`, {
      hint: "save it as UTF-8, e.g. with iconv -f UTF-16 -t UTF-8 FILE > NEW-FILE",
      place: { file: source.name, line: 1, column: 1 },
    });
  }
  const start = mark === "efbbbf" ? 3 : 0;
  let offset = start;
  for await (const chunk of source.chunks(start)) {
    const at = chunk.findIndex((byte) => !" \t\r\n".includes(String.fromCharCode(byte)));
    if (at === -1) {
      offset += chunk.length;
      continue;
    }
    const first = String.fromCharCode(chunk[at]!);
    if (first === "[") return { container: "array", start };
    if (first === "{") return { container: "lines", start };
    throw await explain(
      source,
      new Unreadable(
        offset + at,
        "expected a JSON array of rows or one JSON object a line",
        'a dataset is [{"instruction": ..., "output": ...}, ...], or one such object a line',
      ),
    );
  }
  throw emptyDataset(source.name, "holds nothing but blanks");
}
