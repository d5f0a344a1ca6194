import { formatDuration, printable } from "../../base/format.ts";
import { hasEnded } from "../../run/fold.ts";
import type { AttemptView, View } from "../../run/fold.ts";
import type { Style } from "../terminal.ts";
import { alertLines, decisionLines, headLines } from "./lines.ts";
import { runFrame } from "./live.ts";
import { blocks, heldOutLines, outcomeLines, sampleLines } from "./outcome.ts";

export interface ShowOptions {
  readonly columns: number;
  readonly style: Style;
  readonly cwd: string;
  /** Milliseconds since 1970. */
  readonly now: number;
}

/** The whole run for people: what `moxi show` prints. */
export function showLines(view: View, options: ShowOptions): string[] {
  return blocks(
    headLines(view, options),
    view.decisions.flatMap((decision) => decisionLines(decision, options)),
    view.alerts.flatMap((alert) => alertLines(alert, options)),
    view.attempts.length > 1 ? view.attempts.map((item) => attemptLine(item, options)) : [],
    ...(hasEnded(view.status)
      ? [outcomeLines(view, options)]
      : [
          runFrame(view, { ...options, rows: Infinity }),
          heldOutLines(view, options.style),
          sampleLines(view, options),
        ]),
  );
}

function attemptLine(attempt: AttemptView, { style, now }: ShowOptions): string {
  const end = attempt.endedAt === null ? now : Date.parse(attempt.endedAt);
  const lasted =
    attempt.endedAt === null && attempt.outcome !== null
      ? ""
      : ` after ${formatDuration((end - Date.parse(attempt.startedAt)) / 1000)}`;
  const error = attempt.error?.split("\n")[0];
  return (
    `attempt ${attempt.attempt}  ${attempt.outcome ?? "running"}${lasted}` +
    (error === undefined ? "" : style.dim(`: ${printable(error)}`))
  );
}
