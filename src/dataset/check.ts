import { isMoxiError, MoxiError } from "../base/errors.ts";
import { nearestName, printable } from "../base/format.ts";
import { silentHost } from "../base/host.ts";
import type { Host } from "../base/host.ts";
import { formName, formOfSettings, mappingOf } from "./forms/form.ts";
import type { ColumnSettings, Form } from "./forms/form.ts";
import { sampleForm } from "./forms/sample.ts";
import { Kernel, prefixOf } from "./kernel/kernel.ts";
import { hideSecrets } from "./hide-secrets.ts";
import { quoted } from "./problem.ts";
import { findFiles } from "./read/files.ts";
import { containerNames, mismatch, readLayout } from "./read/layout.ts";
import type { Layout } from "./read/layout.ts";
import { explain } from "./read/place.ts";
import { emptyDataset, Source } from "./read/source.ts";
import { Unreadable } from "./read/unreadable.ts";
import { readingOf } from "./reading.ts";
import { problemsOf } from "./report.ts";
import type { DatasetCheck } from "./report.ts";
import { comparedTexts, readAgain } from "./row-texts.ts";
import { levelsOf } from "./rules/catalog.ts";
import type { Level, LevelSettings, RuleCode } from "./rules/catalog.ts";
import { checkRows } from "./rules/check-rows.ts";
import { Comparison } from "./rules/comparison.ts";
import { Findings } from "./rules/findings.ts";
import type { Place } from "./rules/findings.ts";
import type { PartResult } from "./rules/part.ts";
import { Prefixes } from "./rules/prefixes.ts";
import type { CheckerSettings } from "./rules/row-checker.ts";
import { addLengths, noLengths, percentiles } from "./rules/stats.ts";
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
  /** Of the line that the next part begins on. */
  line: number;
}

class Check {
  readonly #options: CheckOptions;
  readonly #levels: Record<RuleCode, Level>;
  readonly #findings: Findings;
  readonly #files: OpenFile[] = [];
  readonly #table = new RowTable();
  readonly #prefixes = new Prefixes();
  readonly #bad = new Set<number>();
  readonly #promptLengths = noLengths();
  readonly #answerLengths = noLengths();
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
    return { source, path, layout, form, side, firstRow: this.#table.rows, rows: 0, line: 1 };
  }

  async #checkFile(open: OpenFile): Promise<void> {
    const { source } = open;
    const file = this.#files.length - 1;
    const tell = readingOf(source, this.#options.host ?? silentHost, "checking");
    try {
      const sections = await checkRows(source, open.layout, this.#settingsOf(open), {
        threads: source.bytes >= (this.#options.threadsFrom ?? defaultThreadsFrom),
        take: (part) => {
          this.#take(open, part);
          tell.rows(open.rows);
        },
      });
      if (sections.size > 0) {
        const names = Array.from(sections, quoted).join(", ");
        this.#add("unwrapped", { file, detail: `from ${names}` });
      }
      await source.refuseChange();
    } catch (error) {
      const told = error instanceof Unreadable ? await explain(source, error) : error;
      if (!isMoxiError(told) || told.code === "E_DATASET_CHANGED") throw told;
      this.#unreadable ??= told;
      const { line, column } = told.place ?? {};
      this.#add("unreadable", {
        file,
        ...(line === undefined ? {} : { line }),
        ...(column === undefined ? {} : { column }),
        detail: told.message.replace(`${source.name}: `, "").replace(`${source.name} `, ""),
      });
    }
    tell.done(open.rows);
    if (open.rows === 0 && this.#unreadable === null) {
      throw emptyDataset(source.name, "has no rows");
    }
  }

  #settingsOf({ form, layout }: OpenFile): CheckerSettings {
    return {
      form,
      container: layout.container,
      levels: this.#levels,
      maxPlaces: this.#findings.max,
      groupBy: this.#options.groupBy,
      splitKeys: this.#options.splitKeys ?? false,
    };
  }

  #take(open: OpenFile, part: PartResult): void {
    // Lines are counted from the part's first, unless the rows were cut out before.
    const lines = part.lineCount === null ? 0 : open.line;
    open.line += part.lineCount ?? 0;
    this.#findings.append(part, this.#files.indexOf(open), open.rows, lines);
    for (const index of part.bad) this.#bad.add(open.firstRow + open.rows + index);
    this.#table.append(part, lines);
    this.#prefixes.add(part.prefixes, part.answers);
    addLengths(this.#promptLengths, part.promptLengths);
    addLengths(this.#answerLengths, part.answerLengths);
    this.#turns += part.turns;
    this.#ungrouped += part.ungrouped;
    if (this.#names.size < 1000) for (const name of part.names) this.#names.add(name);
    open.rows += part.rows;
  }

  async finish(): Promise<DatasetCheck> {
    const rows = this.#table.rows;
    await this.#compare();
    await this.#judgeWhole(rows);
    const problems = await problemsOf(
      this.#findings,
      this.#levels,
      (file) => this.#files[file]!.source,
    );
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
    // Of rows that are the same, one with an error teaches nothing: the first without one stands for it.
    const standIns = new Map<number, number>();
    const fileOf = (row: number) => this.#files.findLastIndex(({ firstRow }) => firstRow <= row);
    const comparison = new Comparison(this.#table, {
      sideOf: (row) => this.#files[fileOf(row)]!.side,
      found: (code, row, first, detail) => {
        const level = this.#levels[code];
        if (level === "off") return;
        let like = first;
        if (code === "duplicate" && this.#bad.has(first) && !this.#bad.has(row)) {
          like = standIns.get(first) ?? row;
          standIns.set(first, like);
          if (like === row) return;
        }
        if (level === "error") this.#bad.add(row);
        const [file, other] = [fileOf(row), fileOf(like)];
        const name = file === other ? "" : `${this.#files[other]!.source.name} `;
        const number = like - this.#files[other]!.firstRow + 1;
        const line = this.#table.line(like);
        const place = number === line ? `row ${number}` : `row ${number} (line ${line})`;
        this.#findings.add(code, {
          file,
          row: row - this.#files[file]!.firstRow + 1,
          line: this.#table.line(row),
          detail: `like ${name}${place}${detail}`,
        });
      },
      textsOf: (wanted) => this.#textsOf(wanted),
    });
    await comparison.run();
    if (comparison.limited) this.#add("limited-search", { file: 0 });
  }

  async *#textsOf(wanted: ReadonlySet<number>): AsyncGenerator<readonly [number, string[]]> {
    const rows = readAgain(this.#files, (row) => wanted.has(row), this.#unreadable !== null);
    for await (const [row, read] of rows) yield [row, comparedTexts(read)];
  }

  /** The text that answers begin with, by its hash. */
  async #beginning(hash: number): Promise<string> {
    const kernel = new Kernel();
    for await (const [, read] of readAgain(this.#files, () => true, this.#unreadable !== null)) {
      for (const { role, content } of "text" in read ? [] : read.messages) {
        if (role !== "assistant") continue;
        const { prefix } = kernel.scan(content, { sketched: false, answer: true });
        if (prefix === hash) return prefixOf(content);
      }
    }
    return "";
  }

  async #judgeWhole(rows: number): Promise<void> {
    const { groupBy } = this.#options;
    if (rows < 50) {
      const detail = rows === 1 ? "one row" : `${rows} rows`;
      if (rows > 0) this.#add("too-few-rows", { file: 0, detail });
    }
    const { common } = this.#prefixes;
    if (common !== undefined) {
      const share = Math.round((100 * common.count) / this.#prefixes.answers);
      const prefix = await this.#beginning(common.hash);
      // What looks like a key is not shown.
      const shown = /[\w+/-]{16}/.test(prefix) ? "" : `: ${JSON.stringify(prefix)}`;
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
}

function unknownGroup(source: Source, groupBy: string, names: ReadonlySet<string>): MoxiError {
  const near = nearestName(groupBy, names);
  return new MoxiError(
    "E_CONFIG_INVALID",
    `split.groupBy is ${printable(JSON.stringify(groupBy))}, a field that no row of ${source.name} has`,
    {
      place: { field: "split.groupBy" },
      hint: `${near === undefined ? "the rows have" : "did you mean"} ${printable(near ?? Array.from(names, hideSecrets).slice(0, 10).join(", "))}`,
    },
  );
}
