import type { SmokeResult } from "../../api/smoke.ts";
import { formatDuration, printable } from "../../base/format.ts";
import type { Style } from "../terminal.ts";
import { blocks, failureLines, heldOutLines } from "./outcome.ts";
import { labelled, padEnd } from "./text.ts";
import { attemptSeconds, statusText } from "./words.ts";

/** How a rehearsal ended, and what it could not show. */
export function smokeLines(
  { view, differences, log, succeeded }: SmokeResult,
  options: {
    readonly columns: number;
    readonly style: Style;
    readonly cwd: string;
    readonly logs: readonly string[];
  },
): string[] {
  const { columns, style } = options;
  const took = formatDuration(attemptSeconds(view, 0));
  const name = Math.max(...differences.map((each) => each.name.length));
  return blocks(
    [
      `${statusText(view.status, style)} in ${took}: a rehearsal; nothing was sent, and nothing has to be paid`,
      ...heldOutLines(view, style),
    ],
    failureLines(view, options),
    [
      "other than in the job:",
      ...differences.flatMap((each) =>
        labelled(
          `  ${padEnd(each.name, name)}  `,
          printable(`${each.job} → ${each.rehearsal}`),
          columns,
          style.dim,
        ),
      ),
    ],
    succeeded
      ? [
          "next:",
          "  the same command without --smoke",
          style.dim("      trains in the cloud; it tells the price and asks"),
        ]
      : ["everything that was printed:", `  ${printable(log ?? "")}`],
  );
}
