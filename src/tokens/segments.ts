import type { Sample, SampleMaker } from "./sample.ts";

/** A part of a sequence that is trained on alike. */
export interface Segment {
  /** As the tokenizer writes its tokens; not yet safe to print. */
  readonly text: string;
  /** Whether the model learns to write it, or only sees it. */
  readonly learned: boolean;
  /** It lies behind the limit. */
  readonly cut: boolean;
  /** One token that only templates write, such as the end of a turn. */
  readonly control: boolean;
  readonly tokens: number;
}

/** A sequence in parts, as it is trained on with at most `limit` tokens. */
export function segmentsOf({ tokenizer }: SampleMaker, sample: Sample, limit: number): Segment[] {
  const { ids, learned } = sample;
  const control = new Set(tokenizer.controlTokens.map((token) => tokenizer.idOf(token)));
  // Some tokenizers write the first token of a text otherwise: no part stands first.
  const anchor = tokenizer.eosId === undefined ? [] : [tokenizer.eosId];
  const before = tokenizer.decode(anchor).length;
  const segments: Segment[] = [];
  const isLearned = (at: number) => at > 0 && learned.some(([from, to]) => from <= at && at < to);
  for (let from = 0; from < ids.length;) {
    const kind = { learned: isLearned(from), cut: from >= limit, control: control.has(ids[from]) };
    let to = from + 1;
    while (
      !kind.control &&
      to < ids.length &&
      !control.has(ids[to]) &&
      isLearned(to) === kind.learned &&
      to >= limit === kind.cut
    ) {
      to += 1;
    }
    const text = tokenizer.decode([...anchor, ...ids.slice(from, to)]).slice(before);
    segments.push({ text, ...kind, tokens: to - from });
    from = to;
  }
  return segments;
}
