/** So many characters at the start of an answer are a prefix. */
export const prefixLength = 24;

const keptPrefixes = 20_000;
/** Fewer answers begin alike by chance. */
const fewAnswers = 50;

/** Counts how answers begin. */
export class Prefixes {
  readonly #counts = new Map<string, number>();
  answers = 0;

  add(counts: ReadonlyMap<string, number>, answers: number): void {
    this.answers += answers;
    for (const [prefix, count] of counts) {
      const known = this.#counts.get(prefix);
      // What begins most answers is among the first of them.
      if (known === undefined && this.#counts.size >= keptPrefixes) continue;
      this.#counts.set(prefix, (known ?? 0) + count);
    }
  }

  /** The beginning that at least half of the answers share, if there are enough of them. */
  get common(): { readonly prefix: string; readonly count: number } | undefined {
    if (this.answers < fewAnswers) return undefined;
    for (const [prefix, count] of this.#counts) {
      if (count >= this.answers / 2) return { prefix, count };
    }
    return undefined;
  }
}
