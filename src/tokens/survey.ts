import { printable } from "../base/format.ts";
import type { DatasetRow } from "../dataset/canonical-rows.ts";
import type { Problem, ProblemPlace } from "../dataset/report.ts";
import { rules } from "../dataset/rules/catalog.ts";
import type { RuleCode } from "../dataset/rules/catalog.ts";
import { TemplateRefusal } from "../model/template.ts";
import type { Overlong } from "../run/recipe.ts";
import { TemplateDrops, Unrendered } from "./sample.ts";
import type { Sample, SampleMaker } from "./sample.ts";

/** What tokens tell of rows, by what the training program would do with them. */
const codes = [
  "template-refused",
  "template-drops",
  "nothing-to-learn",
  "answer-cut-off",
  "answer-cut",
  "too-long",
  "no-end-token",
  "doubled-start",
] as const satisfies readonly RuleCode[];
type TokenRule = (typeof codes)[number];

export interface TokenStats {
  /** Rows that became sequences, and the sequences. */
  readonly rows: number;
  readonly sequences: number;
  /** Tokens a sequence may have, and why. */
  readonly limit: number;
  readonly limitReason: string;
  /** Of sequences as they are before the limit. */
  readonly lengths: { readonly p50: number; readonly p95: number; readonly max: number };
  /** Sequences by length: each bin counts those below `to` tokens and not below the bin before. */
  readonly histogram: readonly { readonly to: number; readonly count: number }[];
  /** What is trained on after the limit: sequences, their tokens, and those that are learned. */
  readonly kept: number;
  readonly tokens: number;
  readonly learned: number;
  readonly family: string | null;
  /** Why counts may differ from training; empty where they are the same. */
  readonly estimates: readonly string[];
  readonly problems: readonly Problem[];
}

export interface SurveyOptions {
  readonly maxSeqLength?: number | undefined;
  /** What becomes of longer sequences. Default: drop. */
  readonly overlong?: Overlong | undefined;
  /** Places kept of each problem. Default: 5. */
  readonly maxPlaces?: number | undefined;
}

type RowPlace = Pick<DatasetRow, "file" | "line" | "row">;

/** Numbers without end in the memory of numbers. */
class Numbers {
  #values = new Uint32Array(1024);
  length = 0;

  push(value: number): void {
    if (this.length === this.#values.length) {
      const more = new Uint32Array(this.length * 2);
      more.set(this.#values);
      this.#values = more;
    }
    this.#values[this.length++] = value;
  }

  get view(): Uint32Array {
    return this.#values.subarray(0, this.length);
  }
}

/**
 * Counts the tokens of rows as training will see them, in the memory of about 40 bytes a row. What
 * the limit does is told at the end: without a setting it follows from all lengths, as the training
 * program's decide_limit has it.
 */
export class TokenSurvey {
  readonly #maker: SampleMaker;
  readonly #options: SurveyOptions;
  readonly #lengths = new Numbers();
  /** Where the spans of a sequence start in #spans. */
  readonly #starts = new Numbers();
  readonly #spans = new Numbers();
  /** Of each sequence: file, line and row. */
  readonly #places = new Numbers();
  readonly #files: string[] = [];
  readonly #counts = new Map<TokenRule, number>();
  readonly #kept = new Map<TokenRule, ProblemPlace[]>();
  readonly #unrendered = new Map<string, number>();
  readonly #rowsOf = new Map<TokenRule, number[]>();
  #rows = 0;

  constructor(maker: SampleMaker, options: SurveyOptions) {
    this.#maker = maker;
    this.#options = options;
  }

  /** @param counted false: whether it can be written is all that is asked, as of held-out rows */
  add(row: DatasetRow, counted = true): void {
    if (row.canonical === undefined) return;
    const { endless } = this.#maker;
    let samples: Sample[];
    try {
      samples = this.#maker.samples(row.canonical);
    } catch (error) {
      if (error instanceof TemplateDrops) return this.#foundIn("template-drops", row, error.part);
      if (error instanceof TemplateRefusal) {
        return this.#foundIn("template-refused", row, error.message);
      }
      if (!(error instanceof Unrendered)) throw error;
      const why = printable(error.message).slice(0, 200);
      this.#unrendered.set(why, (this.#unrendered.get(why) ?? 0) + 1);
      return;
    }
    if (!counted) return;
    this.#rows += 1;
    if (this.#files.at(-1) !== row.file) this.#files.push(row.file);
    if (this.#maker.endless > endless) this.#found("no-end-token", row);
    const { bosId } = this.#maker.tokenizer;
    if (bosId !== undefined && samples.some(({ ids }) => ids[0] === bosId && ids[1] === bosId)) {
      this.#found("doubled-start", row);
    }
    // The first token of a sequence has nothing to be predicted from.
    if (!samples.some(({ learned }) => learned.some(([, to]) => to > 1))) {
      this.#foundIn("nothing-to-learn", row);
    }
    for (const { ids, learned } of samples) {
      this.#lengths.push(ids.length);
      this.#starts.push(this.#spans.length);
      for (const value of [this.#files.length - 1, row.line, row.row]) this.#places.push(value);
      for (const [from, to] of learned) {
        if (to < 2) continue;
        this.#spans.push(Math.max(1, from));
        this.#spans.push(to);
      }
    }
  }

  /** The rows, by their index, where one of these problems was found that are no matter of the limit. */
  rowsWith(code: RuleCode): readonly number[] {
    return this.#rowsOf.get(code as TokenRule) ?? [];
  }

  #foundIn(code: TokenRule, row: DatasetRow, detail?: string): void {
    this.#found(code, row, detail);
    const rows = this.#rowsOf.get(code);
    if (rows === undefined) this.#rowsOf.set(code, [row.index]);
    else rows.push(row.index);
  }

  finish(): TokenStats {
    const lengths = this.#lengths.view;
    const sorted = lengths.slice().sort();
    const at = (share: number) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
    const { limit, reason } = this.#limit(at);
    const totals = { kept: 0, tokens: 0, learned: 0 };
    for (let index = 0; index < lengths.length; index++) this.#count(index, limit, totals);
    const estimates = [...this.#maker.estimates];
    for (const [why, count] of this.#unrendered) {
      estimates.push(`${count} rows cannot be written here (${why})`);
    }
    return {
      rows: this.#rows,
      sequences: lengths.length,
      limit,
      limitReason: reason,
      lengths: { p50: at(0.5), p95: at(0.95), max: sorted.at(-1) ?? 0 },
      histogram: histogramOf(sorted),
      ...totals,
      family: this.#maker.chat.family?.name ?? null,
      estimates,
      problems: this.#problems(),
    };
  }

  /** As decide_limit in the training program's data.py. */
  #limit(at: (share: number) => number): { readonly limit: number; readonly reason: string } {
    const { maxSeqLength, overlong } = this.#options;
    const context = this.#maker.tokenizer.contextLength;
    let limit = maxSeqLength ?? 0;
    let reason = "as asked";
    if (maxSeqLength === undefined && overlong === "error") {
      limit = at(1);
      reason = "the longest row: none may be dropped or cut";
    } else if (maxSeqLength === undefined) {
      limit = 64 * Math.ceil(at(0.995) / 64);
      reason = `99.5 % of the rows have at most ${at(0.995)} tokens`;
    }
    if (context !== undefined && limit > context)
      return { limit: context, reason: "the model's context" };
    return { limit, reason };
  }

  /** As fitting in data.py. */
  #count(
    index: number,
    limit: number,
    totals: { kept: number; tokens: number; learned: number },
  ): void {
    const length = this.#lengths.view[index]!;
    const spans = this.#spans.view.subarray(
      this.#starts.view[index],
      index + 1 < this.#starts.length ? this.#starts.view[index + 1] : undefined,
    );
    if (spans.length === 0) return;
    const cut = length > limit;
    const end = Math.min(length, limit);
    let learned = 0;
    for (let at = 0; at < spans.length; at += 2) {
      learned += Math.max(0, Math.min(spans[at + 1]!, end) - Math.min(spans[at]!, end));
    }
    if (cut) {
      const place = this.#placeOf(index);
      const lost = `${length} tokens, the limit is ${limit}`;
      if (this.#options.overlong !== "truncate") return this.#found("too-long", place, lost);
      if (learned === 0) return this.#found("answer-cut-off", place, lost);
      if (spans.at(-1)! > limit) this.#found("answer-cut", place, lost);
    }
    totals.kept += 1;
    totals.tokens += end;
    totals.learned += learned;
  }

  #placeOf(index: number): RowPlace {
    const [file, line, row] = this.#places.view.subarray(3 * index, 3 * index + 3);
    return { file: this.#files[file!]!, line: line!, row: row! };
  }

  #found(code: TokenRule, { file, line, row }: RowPlace, detail?: string): void {
    this.#counts.set(code, (this.#counts.get(code) ?? 0) + 1);
    const places = this.#kept.get(code) ?? [];
    this.#kept.set(code, places);
    if (places.length >= (this.#options.maxPlaces ?? 5)) return;
    const said = detail === undefined ? {} : { detail: printable(detail).slice(0, 200) };
    places.push({ file, line, row, ...said });
  }

  #problems(): Problem[] {
    return codes
      .filter((code) => this.#counts.has(code))
      .map((code) => {
        const { severity, cause, remedy } = rules[code];
        const places = this.#kept.get(code)!;
        return { code, severity, count: this.#counts.get(code)!, cause, remedy, places };
      });
  }
}

/** At most twelve bins of one width, a round number of tokens. */
function histogramOf(sorted: Uint32Array): { to: number; count: number }[] {
  const most = sorted.at(-1);
  if (most === undefined) return [];
  // The last one in 200 would flatten all others.
  const reach = sorted[Math.ceil(0.995 * sorted.length) - 1]!;
  const rough = (reach + 1) / 11;
  const power = 10 ** Math.floor(Math.log10(Math.max(1, rough)));
  const width = Math.max(1, power * [1, 2, 5, 10].find((step) => power * step >= rough)!);
  const bins = Array.from({ length: Math.ceil((reach + 1) / width) }, (_, at) => ({
    to: (at + 1) * width,
    count: 0,
  }));
  const last = bins.at(-1)!;
  if (most >= last.to) bins.push({ to: most + 1, count: 0 });
  for (const length of sorted) {
    const at = Math.min(bins.length - 1, Math.floor(length / width));
    bins[at]!.count += 1;
  }
  return bins;
}
