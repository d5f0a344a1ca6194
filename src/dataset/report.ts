import type { MoxiError } from "../base/errors.ts";
import { printable } from "../base/format.ts";
import type { Form } from "./forms/form.ts";
import type { Layout } from "./read/layout.ts";
import { findPlace } from "./read/place.ts";
import type { Source } from "./read/source.ts";
import { rules } from "./rules/catalog.ts";
import type { Level, RuleCode, Severity } from "./rules/catalog.ts";
import type { Findings, Place } from "./rules/findings.ts";
import type { Lengths } from "./rules/stats.ts";

/** One rule that found something. All texts are safe to print. */
export interface Problem {
  readonly code: RuleCode;
  readonly severity: Severity;
  /** Of the rows (or files) where it found something; exact, however many places are kept. */
  readonly count: number;
  readonly cause: string;
  readonly remedy: string;
  readonly places: readonly ProblemPlace[];
}

export interface ProblemPlace {
  readonly file: string;
  readonly line?: number;
  readonly column?: number;
  readonly row?: number;
  readonly field?: string;
  readonly detail?: string;
}

export interface CheckedFile {
  /** Absolute. */
  readonly path: string;
  /** Safe to print. */
  readonly name: string;
  readonly layout: Layout;
  readonly form: Form;
  readonly bytes: number;
  readonly rows: number;
  readonly side: "train" | "eval";
}

export interface DatasetStats {
  readonly bytes: number;
  readonly turns: number;
  /** In characters; half and 95 % are rounded up by at most a fifth, the longest is exact. */
  readonly promptCharacters: Lengths;
  readonly answerCharacters: Lengths;
}

/** What a check has found. */
export interface DatasetCheck {
  readonly files: readonly CheckedFile[];
  /** For people: "chat rows in JSON Lines". */
  readonly format: string;
  readonly form: Form;
  /** Which field became what. */
  readonly mapping: Readonly<Record<string, string>>;
  readonly rows: { readonly total: number; readonly usable: number };
  readonly problems: readonly Problem[];
  readonly stats: DatasetStats;
  /** What the base model's tokenizer makes of the rows, where it was asked. */
  readonly tokens?: object | undefined;
  /** Whether a row, counted from 0 over all files, has an error. */
  readonly isBad: (row: number) => boolean;
  /** Of every row in that order; empty unless asked for. */
  readonly splitKeys: BigUint64Array;
  /** Why a file could not be read to its end. */
  readonly unreadable: MoxiError | null;
}

/** What rules found, as it is told: errors first, what is found most often first. */
export async function problemsOf(
  findings: Findings,
  levels: Readonly<Record<RuleCode, Level>>,
  sourceOf: (file: number) => Source,
): Promise<Problem[]> {
  const problems: Problem[] = [];
  for (const [code, count] of findings.counts) {
    const severity = levels[code];
    if (severity === "off" || count === 0) continue;
    const places: ProblemPlace[] = [];
    for (const place of findings.places.get(code) ?? []) {
      places.push(await shown(place, sourceOf(place.file), findings.max !== Infinity));
    }
    const { cause, remedy } = rules[code];
    problems.push({ code, severity, count, cause, remedy, places });
  }
  const order: Record<Severity, number> = { error: 0, warning: 1, info: 2 };
  return problems.sort((a, b) => order[a.severity] - order[b.severity] || b.count - a.count);
}

/** A place as it is told: line and column where only bytes are known, and nothing that terminals obey. */
async function shown(place: Place, source: Source, exact: boolean): Promise<ProblemPlace> {
  const { row, field, detail, offset } = place;
  let { line, column } = place;
  if (offset !== undefined && offset >= 0 && exact) {
    ({ line, column } = await findPlace(source, offset));
  }
  return {
    file: source.name,
    ...(line === undefined ? {} : { line }),
    ...(column === undefined ? {} : { column }),
    ...(row === undefined ? {} : { row }),
    ...(field === undefined ? {} : { field: oneLine(field) }),
    ...(detail === undefined ? {} : { detail: oneLine(detail) }),
  };
}

function oneLine(text: string): string {
  const line = printable(text).replace(/\s+/g, " ");
  return line.length > 300 ? `${line.slice(0, 299)}…` : line;
}

/** What a check found, as plain data: what `--json` prints, and what a prepared dataset keeps. */
export function reportOf(check: DatasetCheck) {
  const { format, form, mapping, rows, problems, stats, tokens } = check;
  return {
    formatVersion: 1,
    files: check.files.map(({ name, bytes, rows: count, side, layout }) => {
      return { file: name, side, container: layout.container, bytes, rows: count };
    }),
    format,
    form: form.kind,
    mapping,
    rows,
    problems,
    stats,
    ...(tokens === undefined ? {} : { tokens }),
  };
}
