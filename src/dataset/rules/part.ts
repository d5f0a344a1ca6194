import { sketchBytes } from "../kernel/kernel.ts";
import { Findings } from "./findings.ts";
import type { FindingsPart } from "./findings.ts";
import { countLength, noLengths } from "./stats.ts";
import type { LengthBins } from "./stats.ts";

/**
 * What some rows of a file hold, as plain data: workers send it. Arrays have an entry a row, and room
 * for more.
 */
export interface PartResult extends FindingsPart {
  readonly rows: number;
  /** How many lines the part has, where lines are counted from its first; null where from the file's. */
  readonly lineCount: number | null;
  /** Index, in the part, of each row that has an error. */
  readonly bad: readonly number[];
  readonly lines: Uint32Array;
  /** What a row says, NaN for one that could not be read. */
  readonly identities: Float64Array;
  /** What it says before its last turn, NaN where that is no answer. */
  readonly prompts: Float64Array;
  readonly sketches: Uint8Array;
  readonly splitKeys: BigUint64Array | null;
  readonly answers: number;
  /** How each answer begins, as a hash; short ones have none. */
  readonly prefixes: Uint32Array;
  readonly promptLengths: LengthBins;
  readonly answerLengths: LengthBins;
  readonly turns: number;
  readonly ungrouped: number;
  readonly names: ReadonlySet<string>;
}

/** A part while it is made. */
export class Part extends Findings {
  rows = 0;
  lineCount: number | null = null;
  readonly bad: number[] = [];
  lines: Uint32Array;
  identities: Float64Array;
  prompts: Float64Array;
  sketches: Uint8Array;
  splitKeys: BigUint64Array | null;
  answers = 0;
  readonly promptLengths = noLengths();
  readonly answerLengths = noLengths();
  turns = 0;
  ungrouped = 0;
  readonly names = new Set<string>();
  #prefixes = new Uint32Array(64);
  #prefixCount = 0;

  /** @param room for so many rows; it grows */
  constructor(room: number, maxPlaces: number, splitKeys: boolean) {
    super(maxPlaces);
    this.lines = new Uint32Array(room);
    this.identities = new Float64Array(room);
    this.prompts = new Float64Array(room);
    this.sketches = new Uint8Array(room * sketchBytes);
    this.splitKeys = splitKeys ? new BigUint64Array(room) : null;
  }

  /** Begins a row, which cannot be read unless something more is said of it; returns its index. */
  begin(line: number): number {
    const index = this.rows;
    if (index === this.lines.length) this.#grow(2 * index + 16);
    this.lines[index] = line;
    this.identities[index] = NaN;
    this.prompts[index] = NaN;
    this.rows = index + 1;
    return index;
  }

  #grow(room: number): void {
    this.lines = grown(new Uint32Array(room), this.lines);
    this.identities = grown(new Float64Array(room), this.identities);
    this.prompts = grown(new Float64Array(room), this.prompts);
    this.sketches = grown(new Uint8Array(room * sketchBytes), this.sketches);
    if (this.splitKeys !== null) this.splitKeys = grown(new BigUint64Array(room), this.splitKeys);
  }

  spoil(index: number): void {
    if (this.bad.at(-1) !== index) this.bad.push(index);
  }

  /** @param prefix of {@link Scanned}; 0 for none */
  countAnswer(prefix: number): void {
    this.answers += 1;
    if (prefix === 0) return;
    if (this.#prefixCount === this.#prefixes.length) {
      this.#prefixes = grown(new Uint32Array(2 * this.#prefixCount), this.#prefixes);
    }
    this.#prefixes[this.#prefixCount++] = prefix;
  }

  countLengths(prompt: number, answer: number): void {
    countLength(this.promptLengths, prompt);
    countLength(this.answerLengths, answer);
  }

  result(): PartResult {
    const { rows, lineCount, bad, lines, identities, prompts, sketches, splitKeys } = this;
    const { answers, promptLengths, answerLengths, turns, ungrouped, names } = this;
    const prefixes = this.#prefixes.slice(0, this.#prefixCount);
    const { counts, places } = this;
    return {
      rows,
      lineCount,
      bad,
      lines,
      identities,
      prompts,
      sketches,
      splitKeys,
      answers,
      prefixes,
      promptLengths,
      answerLengths,
      turns,
      ungrouped,
      names,
      counts,
      places,
    };
  }
}

function grown<T extends Uint8Array | Uint32Array | Float64Array | BigUint64Array>(
  made: T,
  from: T,
): T {
  (made as Uint8Array).set(from as Uint8Array);
  return made;
}
