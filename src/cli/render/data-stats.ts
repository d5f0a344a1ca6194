import type { DataStats } from "../../api/data-stats.ts";
import { formatCount, printable } from "../../base/format.ts";
import type { TokenStats } from "../../tokens/survey.ts";
import type { Style } from "../terminal.ts";
import { problemLines } from "./check.ts";
import { labelled, padEnd, padStart } from "./text.ts";

interface Options {
  readonly columns: number;
  readonly style: Style;
}

/** What `moxi data stats` tells: rows, tokens, how long rows are, what the limit does. */
export function dataStatsLines(stats: DataStats, options: Options): string[] {
  const { columns, style } = options;
  const { model, rows, turns, characters, tokens, estimate } = stats;
  const good = rows.total - rows.bad;
  const bad =
    rows.bad === 0 ? "" : `; ${formatCount(rows.bad)} cannot be trained on (moxi data check)`;
  const say = (label: string, text: string) => labelled(padEnd(label, 10), text, columns);
  const lines = [
    ...say("model", printable(model)),
    ...say(
      "rows",
      `${formatCount(good)}, of ${formatCount(turns)} turns and ${formatCount(characters)} characters${bad}`,
    ),
  ];
  if (estimate !== null) {
    lines.push(...say("tokens", `about ${formatCount(estimate.tokens)}`));
    lines.push(...labelled(padEnd("estimate", 10), estimate.why, columns, style.yellow));
  }
  if (tokens === null) return lines;
  const { lengths, limit, limitReason, kept, sequences, learned } = tokens;
  const about = tokens.estimates.length > 0 ? "about " : "";
  const share = tokens.tokens === 0 ? 0 : Math.round((100 * learned) / tokens.tokens);
  lines.push(
    ...say("template", tokens.family ?? "of no family that Moxi knows"),
    ...say(
      "tokens",
      `${about}${formatCount(tokens.tokens)}, ${formatCount(learned)} of them learned (${share} %), in ${formatCount(kept)} of ${formatCount(sequences)} sequences`,
    ),
    ...say(
      "lengths",
      `half up to ${formatCount(lengths.p50)}, 95 % up to ${formatCount(lengths.p95)}, longest ${formatCount(lengths.max)}`,
    ),
    ...say("limit", `${formatCount(limit)} (${limitReason})`),
    "",
    ...histogramLines(tokens, options),
    "",
    ...tokens.problems.flatMap((problem) => problemLines(problem, columns, style)),
  );
  for (const why of tokens.estimates) {
    lines.push(...labelled(padEnd("estimate", 10), printable(why), columns, style.yellow));
  }
  return lines;
}

function histogramLines({ histogram, limit }: TokenStats, { columns, style }: Options): string[] {
  const most = Math.max(1, ...histogram.map(({ count }) => count));
  const room = Math.min(60, Math.max(10, (columns === Infinity ? 80 : columns) - 26));
  return histogram.map(({ to, count }, at) => {
    const from = at === 0 ? 0 : histogram[at - 1]!.to;
    const bar = "━".repeat(count === 0 ? 0 : Math.max(1, Math.round((room * count) / most)));
    const label = padStart(`${formatCount(from)}–${formatCount(to - 1)}`, 15);
    const paint = from >= limit ? style.red : style.cyan;
    return `${label}  ${paint(bar)} ${formatCount(count)}`;
  });
}
