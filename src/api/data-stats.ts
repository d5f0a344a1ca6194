import { readDataset } from "../dataset/canonical-rows.ts";
import type { TokenStats } from "../tokens/survey.ts";
import { load } from "./config.ts";
import type { Context } from "./context.ts";
import { checkSettings } from "./data-check.ts";
import { localDataset } from "./data-source.ts";
import { openSampleMaker, toyHasNone } from "./data-tokens.ts";

export interface DataStatsOptions {
  /** The dataset, from where the command was given; else the config's. */
  readonly path?: string | undefined;
  /** Settings by their config key: stronger than every other source. */
  readonly flags?: Readonly<Record<string, unknown>> | undefined;
}

export interface DataStats {
  readonly model: string;
  readonly rows: {
    readonly total: number;
    /** Cannot be trained on: `moxi data check` tells why. */
    readonly bad: number;
  };
  readonly turns: number;
  readonly characters: number;
  /** Null for the toy, which has no tokenizer yet. */
  readonly tokens: TokenStats | null;
  /** About how many tokens there are, where they cannot be counted, and why they cannot. */
  readonly estimate: { readonly tokens: number; readonly why: string } | null;
}

/**
 * Counts rows, and their tokens as the base model's training will see them.
 *
 * @throws MoxiError with one of the E_DATASET or E_MODEL codes; and what is wrong with the config
 */
export async function dataStats(
  context: Context,
  { path, flags }: DataStatsOptions = {},
): Promise<DataStats> {
  const loaded = await load(context, flags);
  const { config } = loaded;
  const maker = await openSampleMaker(context, loaded);
  const { TokenSurvey } = await import("../tokens/survey.ts");
  const survey = maker === null ? null : new TokenSurvey(maker, config);
  const counts = { total: 0, bad: 0, turns: 0, characters: 0 };
  const { columns } = checkSettings(config);
  const dataset = await localDataset(context, loaded, path ?? config.dataset);
  for await (const row of readDataset({ path: dataset, cwd: context.cwd, columns })) {
    counts.total += 1;
    const { canonical } = row;
    if (canonical === undefined) {
      counts.bad += 1;
      continue;
    }
    const texts =
      "text" in canonical ? [canonical.text] : canonical.messages.map((each) => each.content);
    counts.turns += texts.length;
    for (const text of texts) counts.characters += text.length;
    survey?.add(row);
  }
  const { total, bad, turns, characters } = counts;
  return {
    model: config.model,
    rows: { total, bad },
    turns,
    characters,
    tokens: survey?.finish() ?? null,
    estimate: maker === null ? { tokens: Math.ceil(characters / 4), why: toyHasNone } : null,
  };
}
