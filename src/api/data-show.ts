import { MoxiError } from "../base/errors.ts";
import { printable } from "../base/format.ts";
import { readOneRow } from "../dataset/canonical-rows.ts";
import { hideSecrets } from "../dataset/hide-secrets.ts";
import type { Masked } from "../tokens/mask.ts";
import type { Segment } from "../tokens/segments.ts";
import { load } from "./config.ts";
import type { Context } from "./context.ts";
import { checkSettings } from "./data-check.ts";
import { localDataset } from "./data-source.ts";
import { openSampleMaker, toyHasNone } from "./data-tokens.ts";

export interface DataShowOptions {
  /** Counted from 1 over all files of the dataset. Default: 1. */
  readonly row?: number | undefined;
  /** The dataset, from where the command was given; else the config's. */
  readonly path?: string | undefined;
  /** Settings by their config key: stronger than every other source. */
  readonly flags?: Readonly<Record<string, unknown>> | undefined;
}

export interface ShownSequence {
  readonly tokens: number;
  readonly learned: number;
  readonly segments: readonly Segment[];
  /** Kinds of secrets whose values are not in the segments; their tokens are counted. */
  readonly secrets: readonly string[];
}

/** A row as training sees it. */
export interface DataShow {
  readonly model: string;
  readonly file: string;
  readonly line: number;
  readonly row: number;
  /** Most rows are one sequence; a template that rewrites earlier turns makes one of each answer. */
  readonly sequences: readonly ShownSequence[];
  /** Tokens a sequence may have; null if neither the config nor the model sets a limit. */
  readonly limit: number | null;
  /** What becomes of a longer one. */
  readonly overlong: "drop" | "truncate" | "error";
  readonly family: string | null;
  /** Why it may be otherwise in training; empty if it is exact. */
  readonly estimates: readonly string[];
}

/**
 * Writes one row with the base model's chat template and tokenizer, as it is trained on.
 *
 * @throws MoxiError E_USAGE if there is no such row; E_DATASET_ROWS for one that cannot be trained
 * on; the E_DATASET and E_MODEL codes; and what is wrong with the config
 */
export async function dataShow(
  context: Context,
  { row: number = 1, path, flags }: DataShowOptions = {},
): Promise<DataShow> {
  const loaded = await load(context, flags);
  const { config } = loaded;
  const { columns } = checkSettings(config);
  const dataset = await localDataset(context, loaded, path ?? config.dataset);
  const source = { path: dataset, cwd: context.cwd, columns };
  const { file, line, row, canonical, problem } = await readOneRow(source, number);
  const place = { file, line, row };
  if (canonical === undefined) {
    throw new MoxiError(
      "E_DATASET_ROWS",
      `row ${row} cannot be trained on: ${printable(problem ?? "")}`,
      {
        hint: "moxi data check tells all that is wrong",
        place,
      },
    );
  }
  const { overlong = "drop" } = config;
  const maker = await openSampleMaker(context, loaded);
  const { maskSecrets } = await import("../tokens/mask.ts");
  if (maker === null) {
    const segments =
      "text" in canonical
        ? [segment(canonical.text, true)]
        : canonical.messages.flatMap(({ role, content, weight }) => [
            segment(`${role}:\n`, false),
            segment(content, role === "assistant" && weight !== 0),
            segment("\n", false),
          ]);
    const shown = sequenceOf(segments, maskSecrets);
    const common = { limit: config.maxSeqLength ?? null, overlong, family: null };
    return {
      model: config.model,
      ...place,
      sequences: [shown],
      ...common,
      estimates: [toyHasNone],
    };
  }
  const [{ segmentsOf }, { TemplateDrops }] = await Promise.all([
    import("../tokens/segments.ts"),
    import("../tokens/sample.ts"),
  ]);
  const context_ = maker.tokenizer.contextLength ?? Infinity;
  const limit = Math.min(config.maxSeqLength ?? Infinity, context_);
  try {
    const sequences = maker.samples(canonical).map((sample) => {
      return sequenceOf(segmentsOf(maker, sample, limit), maskSecrets);
    });
    const common = { limit: limit === Infinity ? null : limit, overlong };
    const family = maker.chat.family?.name ?? null;
    const { estimates } = maker;
    return { model: config.model, ...place, sequences, ...common, family, estimates };
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const why = printable(hideSecrets(error.message)).slice(0, 200);
    const told =
      error instanceof TemplateDrops ? why : `the model's chat template refuses it: ${why}`;
    throw new MoxiError("E_DATASET_ROWS", `row ${row} cannot be shown: ${told}`, {
      hint: "change the row, or choose a model whose template takes it",
      place,
      cause: error,
    });
  }
}

function segment(text: string, learned: boolean): Segment {
  return { text, learned, cut: false, control: false, tokens: Math.ceil(text.length / 4) };
}

function sequenceOf(
  segments: readonly Segment[],
  mask: (segments: readonly Segment[]) => Masked,
): ShownSequence {
  const count = (some: readonly Segment[]) => some.reduce((sum, { tokens }) => sum + tokens, 0);
  return {
    tokens: count(segments),
    // What is left after the limit.
    learned: count(segments.filter(({ learned, cut }) => learned && !cut)),
    ...mask(segments),
  };
}
