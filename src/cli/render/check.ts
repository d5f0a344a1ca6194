import { formatBytes, formatCount, plural } from "../../base/format.ts";
import type { DatasetCheck, DatasetStats, Problem } from "../../dataset/report.ts";
import { rules } from "../../dataset/rules/catalog.ts";
import type { Severity } from "../../dataset/rules/catalog.ts";
import { placeText, problemText } from "../../dataset/telling.ts";
import type { Style } from "../terminal.ts";
import { labelled } from "./text.ts";

const marks: Readonly<Record<Severity, string>> = { error: "✗ ", warning: "▲ ", info: "● " };

/** What `moxi data check` tells: the dataset, every problem with its places, the sum. */
export function checkLines(
  check: DatasetCheck,
  { columns, style }: { readonly columns: number; readonly style: Style },
): string[] {
  const { rows, files, stats, problems, mapping } = check;
  const name =
    files.length === 1
      ? files[0]!.name
      : `${files[0]!.name} and ${plural(files.length - 1, "more file")}`;
  const mapped = Object.entries(mapping).map(([from, to]) =>
    from === to ? from : `${from} → ${to}`,
  );
  const { promptCharacters: prompt, answerCharacters: answer } = stats;
  const head = `${name}: ${check.format}, ${plural(rows.total, "row")}, ${formatBytes(stats.bytes)}`;
  const say = (label: string, text: string) => labelled(label, text, columns, style.dim);
  return [
    ...labelled("", head, columns, style.bold),
    ...(mapped.length === 0 ? [] : say("fields      ", mapped.join(", "))),
    ...(prompt.max === 0 ? [] : say("prompts     ", lengths(prompt))),
    ...(answer.max === 0 ? [] : say("answers     ", lengths(answer))),
    "",
    ...problems.flatMap((problem) => problemLines(problem, columns, style)),
    ...(problems.length === 0 ? [] : [""]),
    sumLine(check, style),
  ];
}

function lengths({ p50, p95, max }: DatasetStats["promptCharacters"]): string {
  return `half up to about ${plural(p50, "character")}, 95 % up to about ${formatCount(p95)}, longest ${formatCount(max)}`;
}

export function problemLines(problem: Problem, columns: number, style: Style): string[] {
  const { severity, code, remedy, places, count } = problem;
  const paint = { error: style.red, warning: style.yellow, info: style.cyan }[severity];
  const more = count - places.length;
  // The first line names the file, and what it is there.
  const ofFile = rules[problem.code].of === "file";
  return [
    ...labelled(marks[severity], `${problemText(problem)}  [${code}]`, columns).map(paint),
    ...(ofFile ? places.slice(1) : places).flatMap((place) =>
      labelled("    ", placeText(place), columns),
    ),
    ...(more > 0 && places.length > 0
      ? labelled("    ", `and ${formatCount(more)} more: --max-places all`, columns, style.dim)
      : []),
    ...labelled("    fix  ", remedy, columns, style.dim),
  ];
}

function sumLine({ problems, rows }: DatasetCheck, style: Style): string {
  const count = (severity: Severity) =>
    problems
      .filter((problem) => problem.severity === severity)
      .reduce((sum, one) => sum + one.count, 0);
  const [errors, warnings] = [count("error"), count("warning")];
  const usable = `${formatCount(rows.usable)} of ${formatCount(rows.total)} rows can be trained on`;
  const found = `${plural(errors, "error")}, ${plural(warnings, "warning")}`;
  if (errors > 0) return style.red(`✗ ${found}; ${usable}`);
  return (warnings > 0 ? style.yellow : style.green)(`✓ ${found}; ${usable}`);
}
