const keptPrefixes = 20_000;
/** Fewer answers begin alike by chance. */
const fewAnswers = 50;
const slots = 1 << 16;

/** Counts how answers begin, by hashes of their beginnings. */
export class Prefixes {
  readonly #hashes = new Uint32Array(slots);
  readonly #counts = new Uint32Array(slots);
  #kept = 0;
  answers = 0;

  /** @param prefixes of the answers that are long enough to have one; none is 0 */
  add(prefixes: Uint32Array, answers: number): void {
    this.answers += answers;
    for (let index = 0; index < prefixes.length; index++) {
      const hash = prefixes[index]!;
      let slot = hash & (slots - 1);
      while (this.#hashes[slot] !== hash && this.#hashes[slot] !== 0) slot = (slot + 1) % slots;
      if (this.#hashes[slot] === 0) {
        // What begins most answers is among the first of them.
        if (this.#kept >= keptPrefixes) continue;
        this.#kept += 1;
        this.#hashes[slot] = hash;
      }
      this.#counts[slot]! += 1;
    }
  }

  /** The beginning that at least half of the answers share, if there are enough of them. */
  get common(): { readonly hash: number; readonly count: number } | undefined {
    if (this.answers < fewAnswers) return undefined;
    const slot = this.#counts.findIndex((count) => count >= this.answers / 2);
    return slot === -1 ? undefined : { hash: this.#hashes[slot]!, count: this.#counts[slot]! };
  }
}
