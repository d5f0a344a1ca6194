import { isMoxiError, MoxiError } from "../base/errors.ts";
import { nearestName, printable } from "../base/format.ts";
import { silentHost } from "../base/host.ts";
import type { Host } from "../base/host.ts";
import { isRecord } from "../base/json.ts";
import { canonicalRow } from "./canonical.ts";
import { adapt, formName, formOfSettings, mappingOf } from "./forms/form.ts";
import type { ColumnSettings, Form } from "./forms/form.ts";
import { Vote } from "./forms/vote.ts";
import { findFiles } from "./read/files.ts";
import { containerNames, mismatch, readLayout } from "./read/layout.ts";
import type { Layout } from "./read/layout.ts";
import { explain, findPlace } from "./read/place.ts";
import { framerOf, readRows } from "./read/rows.ts";
import { emptyDataset, Source } from "./read/source.ts";
import { Unreadable } from "./read/unreadable.ts";
import { readingOf } from "./reading.ts";
import { levelsOf, rules } from "./rules/catalog.ts";
import type { Level, LevelSettings, RuleCode, Severity } from "./rules/catalog.ts";
import { Comparison } from "./rules/comparison.ts";
import { Findings } from "./rules/findings.ts";
import type { Place } from "./rules/findings.ts";
import { checkHere, checkInWorkers } from "./rules/pool.ts";
import { Prefixes } from "./rules/prefixes.ts";
import { RowChecker } from "./rules/row-checker.ts";
import type { CheckerSettings, PartResult } from "./rules/row-checker.ts";
import { lengthBins, percentiles } from "./rules/stats.ts";
import type { Lengths } from "./rules/stats.ts";
import { RowTable } from "./rules/table.ts";

export interface CheckOptions extends LevelSettings {
  /** A file or a folder of files, absolute or from `cwd`. */
  readonly path: string;
  readonly cwd: string;
  /** Held-out rows in a file of their own: no row may be on both sides. */
  readonly evalPath?: string | undefined;
  /** Which field is what, where the user says so. */
  readonly columns?: ColumnSettings | undefined;
  /** Places that are kept of each rule; Infinity for all. Default: 5. */
  readonly maxPlaces?: number | undefined;
  readonly groupBy?: string | undefined;
  /** The split's key of every row is asked for. */
  readonly splitKeys?: boolean | undefined;
  readonly host?: Host | undefined;
  /** From so many bytes on a file is checked in threads. Default: 16 MB. */
  readonly threadsFrom?: number | undefined;
}

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
  /** In characters, rounded up by at most a fifth. */
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
  /** Whether a row, counted from 0 over all files, has an error. */
  readonly isBad: (row: number) => boolean;
  /** Of every row in that order; empty unless asked for. */
  readonly splitKeys: BigUint64Array;
  /** Why a file could not be read to its end. */
  readonly unreadable: MoxiError | null;
}

/** So many rows are looked at to tell the form of a file. */
const sampleRows = 1000;
const sampleBytes = 4 * 1024 * 1024;
const defaultThreadsFrom = 16_000_000;

/**
 * Checks a dataset by every rule, in the memory of 84 bytes a row and the largest row, whatever is
 * wrong with it: all findings, not the first.
 *
 * @throws MoxiError E_DATASET_MISSING, E_DATASET_NOT_A_FILE, E_DATASET_EMPTY, E_PERMISSION;
 * E_CONFIG_INVALID if no row has the field `groupBy`
 */
export async function checkDataset(options: CheckOptions): Promise<DatasetCheck> {
  const check = new Check(options);
  try {
    await check.addSide(options.path, "train");
    if (options.evalPath !== undefined) await check.addSide(options.evalPath, "eval");
    return await check.finish();
  } finally {
    await check.close();
  }
}

interface OpenFile {
  readonly source: Source;
  readonly path: string;
  readonly layout: Layout;
  readonly form: Form;
  readonly side: "train" | "eval";
  readonly firstRow: number;
  rows: number;
}

class Check {
  readonly #options: CheckOptions;
  readonly #levels: Record<RuleCode, Level>;
  readonly #findings: Findings;
  readonly #files: OpenFile[] = [];
  readonly #table = new RowTable();
  readonly #prefixes = new Prefixes();
  readonly #bad = new Set<number>();
  readonly #promptLengths = new Uint32Array(lengthBins);
  readonly #answerLengths = new Uint32Array(lengthBins);
  readonly #names = new Set<string>();
  #turns = 0;
  #ungrouped = 0;
  #unreadable: MoxiError | null = null;

  constructor(options: CheckOptions) {
    this.#options = options;
    this.#levels = levelsOf(options);
    this.#findings = new Findings(options.maxPlaces ?? 5);
  }

  async close(): Promise<void> {
    await Promise.all(this.#files.map(({ source }) => source.close()));
  }

  async addSide(path: string, side: "train" | "eval"): Promise<void> {
    const { files, skipped } = await findFiles(path, this.#options.cwd);
    for (const { path: absolute, name } of files) {
      const source = await Source.open(absolute, this.#options.cwd, name);
      let open: OpenFile;
      try {
        open = await this.#identify(source, absolute, side);
      } catch (error) {
        await source.close();
        throw error;
      }
      this.#files.push(open);
      await this.#checkFile(open);
    }
    const last = this.#files.length - 1;
    for (const { name, why, link } of skipped) {
      const code = link && /leads out/.test(why) ? "outside-link" : "not-read";
      this.#add(code, { file: last, detail: `${name}: ${why}` });
    }
  }

  #add(code: RuleCode, place: Place): void {
    if (this.#levels[code] !== "off") this.#findings.add(code, place);
  }

  async #identify(source: Source, path: string, side: "train" | "eval"): Promise<OpenFile> {
    const layout = await readLayout(source);
    const form = formOfSettings(this.#options.columns ?? {}) ?? (await sampleForm(source, layout));
    const file = this.#files.length;
    if (layout.start > 0) this.#add("byte-order-mark", { file });
    const promised = mismatch(source, layout);
    if (promised !== undefined) this.#add("name-mismatch", { file, detail: promised });
    if (form.kind === "preference") this.#add("preference-pair", { file });
    return { source, path, layout, form, side, firstRow: this.#table.rows, rows: 0 };
  }

  async #checkFile(open: OpenFile): Promise<void> {
    const { source, layout } = open;
    const { groupBy, host = silentHost } = this.#options;
    const settings: CheckerSettings = {
      form: open.form,
      container: layout.container,
      levels: this.#levels,
      maxPlaces: this.#findings.max,
      groupBy,
      splitKeys: this.#options.splitKeys ?? false,
    };
    const tell = readingOf(source, host, "checking");
    const take = (part: PartResult) => {
      this.#take(open, part);
      tell.rows(open.rows);
    };
    const sections = new Set<string>();
    try {
      if (layout.container === "csv" || layout.container === "parquet") {
        const checker = new RowChecker(settings);
        for await (const { rows } of readRows(source, layout, { tolerant: true })) {
          if (rows.length > 0) take(checker.checkRows(rows));
        }
      } else {
        const big = source.bytes >= (this.#options.threadsFrom ?? defaultThreadsFrom);
        const checking = big ? checkInWorkers(settings, take) : checkHere(settings, take);
        try {
          const framer = framerOf(layout);
          const push = (frames: ReturnType<typeof framer.push>) => {
            const section = frames.at(-1)?.section;
            if (section !== undefined && sections.size < 20) sections.add(section);
            return checking.push(frames);
          };
          for await (const chunk of source.chunks(layout.start)) await push(framer.push(chunk));
          await push(framer.end());
          await checking.end();
        } finally {
          await checking.close();
        }
      }
      await source.refuseChange();
    } catch (error) {
      const told = error instanceof Unreadable ? await explain(source, error) : error;
      if (!isMoxiError(told) || told.code === "E_DATASET_CHANGED") throw told;
      this.#unreadable ??= told;
      const { line, column } = told.place ?? {};
      this.#add("unreadable", {
        file: this.#files.length - 1,
        ...(line === undefined ? {} : { line }),
        ...(column === undefined ? {} : { column }),
        detail: told.message.replace(`${source.name}: `, "").replace(`${source.name} `, ""),
      });
    }
    tell.done(open.rows);
    if (sections.size > 0) {
      const names = Array.from(sections, (name) => JSON.stringify(name.slice(0, 40))).join(", ");
      this.#add("unwrapped", { file: this.#files.length - 1, detail: `from ${names}` });
    }
    if (open.rows === 0 && this.#unreadable === null)
      throw emptyDataset(source.name, "has no rows");
  }

  #take(open: OpenFile, part: PartResult): void {
    this.#findings.append(part, this.#files.indexOf(open), open.rows);
    for (const index of part.bad) this.#bad.add(open.firstRow + open.rows + index);
    this.#table.append(part);
    this.#prefixes.add(part.prefixes, part.answers);
    for (let bin = 0; bin < lengthBins; bin++) {
      this.#promptLengths[bin]! += part.promptLengths[bin]!;
      this.#answerLengths[bin]! += part.answerLengths[bin]!;
    }
    this.#turns += part.turns;
    this.#ungrouped += part.ungrouped;
    if (this.#names.size < 1000) for (const name of part.names) this.#names.add(name);
    open.rows += part.rows;
  }

  async finish(): Promise<DatasetCheck> {
    const rows = this.#table.rows;
    await this.#compare();
    this.#judgeWhole(rows);
    const problems = await this.#problems();
    const bad = this.#bad;
    const first = this.#files[0]!;
    return {
      files: this.#files.map(({ path, source, layout, form, rows: count, side }) => ({
        path,
        name: source.name,
        layout,
        form,
        bytes: source.bytes,
        rows: count,
        side,
      })),
      format: `${formName(first.form)} in ${containerNames[first.layout.container]}`,
      form: first.form,
      mapping: mappingOf(first.form),
      rows: { total: rows, usable: rows - bad.size },
      problems,
      stats: {
        bytes: this.#files.reduce((sum, { source }) => sum + source.bytes, 0),
        turns: this.#turns,
        promptCharacters: percentiles(this.#promptLengths),
        answerCharacters: percentiles(this.#answerLengths),
      },
      isBad: (row) => bad.has(row),
      splitKeys: this.#options.splitKeys === true ? this.#table.splitKeys() : new BigUint64Array(0),
      unreadable: this.#unreadable,
    };
  }

  /** What rows say together. */
  async #compare(): Promise<void> {
    const fileOf = (row: number) => this.#files.findLastIndex(({ firstRow }) => firstRow <= row);
    const comparison = new Comparison(this.#table, {
      sideOf: (row) => this.#files[fileOf(row)]!.side,
      found: (code, row, like, detail) => {
        const level = this.#levels[code];
        if (level === "off") return;
        if (level === "error") this.#bad.add(row);
        const [file, other] = [fileOf(row), fileOf(like)];
        const name = file === other ? "" : `${this.#files[other]!.source.name} `;
        this.#findings.add(code, {
          file,
          row: row - this.#files[file]!.firstRow + 1,
          line: this.#table.line(row),
          detail: `${name}row ${like - this.#files[other]!.firstRow + 1} (line ${this.#table.line(like)})${detail}`,
        });
      },
      textsOf: (wanted) => this.#textsOf(wanted),
    });
    await comparison.run();
    if (comparison.limited) this.#add("limited-search", { file: 0 });
  }

  /** Reads the files again for the texts of some rows, in the order of the rows. */
  async *#textsOf(wanted: ReadonlySet<number>): AsyncGenerator<readonly [number, string[]]> {
    for (const { source, layout, form, firstRow, rows } of this.#files) {
      let any = false;
      for (let row = firstRow; row < firstRow + rows && !any; row++) any = wanted.has(row);
      if (!any) continue;
      try {
        const some = (row: number) => wanted.has(firstRow + row - 1);
        for await (const batch of readRows(source, layout, { tolerant: true, only: some })) {
          for (const { row, value } of batch.rows) {
            if (!some(row) || !isRecord(value)) continue;
            const read = canonicalRow(adapt(form, value));
            const texts =
              "text" in read
                ? [read.text]
                : read.messages.flatMap(({ role, content, tool_calls: calls }) => [
                    ...(role === "user" || role === "assistant" ? [content] : []),
                    ...(calls ?? []).map((call) => call.function.name + call.function.arguments),
                  ]);
            yield [firstRow + row - 1, texts];
          }
        }
      } catch (error) {
        if (!isMoxiError(error) || this.#unreadable === null) throw error;
      }
    }
  }

  #judgeWhole(rows: number): void {
    const { groupBy } = this.#options;
    if (rows < 50) {
      const detail = rows === 1 ? "one row" : `${rows} rows`;
      if (rows > 0) this.#add("too-few-rows", { file: 0, detail });
    }
    const { common } = this.#prefixes;
    if (common !== undefined) {
      const share = Math.round((100 * common.count) / this.#prefixes.answers);
      const shown = /[\w+/-]{16}/.test(common.prefix) ? "" : `: ${JSON.stringify(common.prefix)}`;
      this.#add("constant-prefix", { file: 0, detail: `${share} % of the answers${shown}` });
    }
    const kinds = new Set(this.#files.map(({ form }) => form.kind));
    if (kinds.size > 1) {
      for (const [file, { form }] of this.#files.entries()) {
        this.#add("mixed-files", { file, detail: formName(form) });
      }
    }
    if (groupBy === undefined || this.#ungrouped === 0) return;
    if (this.#ungrouped === rows) throw unknownGroup(this.#files[0]!.source, groupBy, this.#names);
    this.#add("ungrouped", {
      file: 0,
      detail: `${this.#ungrouped} of ${rows}`,
    });
  }

  async #problems(): Promise<Problem[]> {
    const problems: Problem[] = [];
    for (const [code, count] of this.#findings.counts) {
      const severity = this.#levels[code];
      if (severity === "off" || count === 0) continue;
      const places: ProblemPlace[] = [];
      for (const place of this.#findings.places.get(code) ?? [])
        places.push(await this.#shown(place));
      const { cause, remedy } = rules[code];
      problems.push({ code, severity, count, cause, remedy, places });
    }
    const order: Record<Severity, number> = { error: 0, warning: 1, info: 2 };
    return problems.sort((a, b) => order[a.severity] - order[b.severity] || b.count - a.count);
  }

  /** A place as it is told: line and column where only bytes are known, and nothing that terminals obey. */
  async #shown({ file, row, line, column, field, detail, offset }: Place): Promise<ProblemPlace> {
    const { source } = this.#files[file]!;
    if (offset !== undefined && offset >= 0 && this.#findings.max !== Infinity) {
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
}

function oneLine(text: string): string {
  const line = printable(text).replace(/\s+/g, " ");
  return line.length > 300 ? `${line.slice(0, 299)}…` : line;
}

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
  return vote.winner ?? { kind: "chat", field: "messages" };
}

function unknownGroup(source: Source, groupBy: string, names: ReadonlySet<string>): MoxiError {
  const near = nearestName(groupBy, names);
  return new MoxiError(
    "E_CONFIG_INVALID",
    `split.groupBy is ${printable(JSON.stringify(groupBy))}, a field that no row of ${source.name} has`,
    {
      place: { field: "split.groupBy" },
      hint: `${near === undefined ? "the rows have" : "did you mean"} ${printable(near ?? [...names].slice(0, 10).join(", "))}`,
    },
  );
}
