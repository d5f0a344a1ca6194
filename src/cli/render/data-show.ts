import type { DataShow, ShownSequence } from "../../api/data-show.ts";
import { formatCount, printable } from "../../base/format.ts";
import type { Segment } from "../../tokens/segments.ts";
import type { Style } from "../terminal.ts";
import { labelled, wrap } from "./text.ts";

interface Options {
  readonly columns: number;
  readonly style: Style;
}

/**
 * A row as training sees it. What a line is stands at its start, so that it reads without colour
 * too: + is learned, x is cut away, nothing is only seen. Tokens that no text can hold stand in «».
 */
export function dataShowLines(show: DataShow, options: Options): string[] {
  const { columns, style } = options;
  const { file, line, row, sequences, family, model, estimates } = show;
  const by = family === null ? model : `${model}, whose template is of the family ${family}`;
  const title = `${file}, row ${row}${row === line ? "" : ` (line ${line})`}, as ${by}`;
  const lines = labelled("", printable(title), columns, style.bold);
  for (const [at, sequence] of sequences.entries()) {
    const which = sequences.length === 1 ? "" : `sequence ${at + 1} of ${sequences.length}: `;
    lines.push(...labelled("", which + sumText(sequence, show), columns, style.dim), "");
    lines.push(
      ...sequence.segments.reduce(joined, []).flatMap((run) => runLines(run, options)),
      "",
    );
  }
  const cut = sequences.some(({ segments }) => segments.some((segment) => segment.cut));
  const legend = `+ learned   ${cut ? "x behind the limit   " : ""}(nothing) only seen   «…» a control token   · ↵ → blank, line break, tab`;
  lines.push(...labelled("", legend, columns, style.dim));
  const secrets = new Set(sequences.flatMap((sequence) => sequence.secrets));
  if (secrets.size > 0) {
    const hidden = `values of the kind ${[...secrets].join(", ")} are not shown; their tokens are counted, and the model would learn them`;
    lines.push(...labelled("secret  ", hidden, columns, style.yellow));
  }
  for (const why of estimates) {
    lines.push(...labelled("estimate  ", printable(why), columns, style.yellow));
  }
  return lines;
}

function sumText(
  { tokens, learned }: ShownSequence,
  { limit, overlong, estimates }: DataShow,
): string {
  const about = estimates.length > 0 ? "about " : "";
  const share = tokens === 0 ? 0 : Math.round((100 * learned) / tokens);
  const sum = `${about}${formatCount(tokens)} tokens, ${formatCount(learned)} of them learned (${share} %)`;
  if (limit === null) return sum;
  const at = `limit ${formatCount(limit)}`;
  if (tokens <= limit) return `${sum}; ${at}`;
  const then = {
    drop: "longer: it is left out whole",
    truncate: "longer: it is cut there",
    error: "longer: training refuses it",
  }[overlong];
  return `${sum}; ${at}, ${then}`;
}

/** Segments of one kind, control tokens among them. */
interface Run {
  readonly kind: "learned" | "seen" | "cut";
  readonly parts: readonly Segment[];
}

function joined(runs: readonly Run[], segment: Segment): Run[] {
  const kind = segment.cut ? "cut" : segment.learned ? "learned" : "seen";
  const last = runs.at(-1);
  if (last?.kind !== kind) return [...runs, { kind, parts: [segment] }];
  return [...runs.slice(0, -1), { kind, parts: [...last.parts, segment] }];
}

const gutters = { learned: "+ ", seen: "  ", cut: "x " } as const;

function runLines({ kind, parts }: Run, { columns, style }: Options): string[] {
  const text = parts.map(({ text: raw, control }) => visible(raw, control)).join("");
  const paint = {
    learned: style.green,
    seen: style.dim,
    cut: (line: string) => style.red(style.strike(line)),
  }[kind];
  const lines = text.split("\n");
  // A run that ends with a line break has no line behind it.
  if (lines.at(-1) === "") lines.pop();
  return lines
    .flatMap((line) => wrap(line, Math.max(20, columns - 2)))
    .map((line) => gutters[kind] + paint(line).replace(/«[^»]*»/g, (token) => style.bold(token)));
}

/** Safe to print, and every blank that a line ends or starts with can be seen. */
function visible(raw: string, control: boolean): string {
  const text = printable(raw);
  if (control) return `«${text}»`;
  return text
    .replaceAll("\t", "→")
    .replaceAll("\n", "↵\n")
    .replace(/^ +| +$| +(?=↵)/gm, (blanks) => "·".repeat(blanks.length));
}
