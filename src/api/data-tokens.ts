import { join } from "node:path";
import type { LoadedConfig } from "../config/loaded.ts";
import type { Problem } from "../dataset/report.ts";
import { levelsOf } from "../dataset/rules/catalog.ts";
import type { ResolvedModel } from "../model/resolve.ts";
import type { SampleMaker } from "../tokens/sample.ts";
import type { Context } from "./context.ts";
import { checkSettings } from "./data-check.ts";
import { modelSources } from "./model-sources.ts";
import { findTrainer } from "./trainer.ts";

/** Why there are no tokens of the toy to count. */
export const toyHasNone =
  "moxi:tiny makes its tokenizer from your rows when training starts, so there are no tokens yet: these are estimates at four characters a token; name another model with --model";

/**
 * What makes tokens of rows for the config's base model; null for the toy.
 *
 * @param model the base model, where it has been looked for already
 * @throws MoxiError E_MODEL_NOT_FOUND, E_MODEL_UNSUPPORTED, E_MODEL_GATED, E_MODEL_TOKEN, E_NETWORK
 */
export async function openSampleMaker(
  context: Context,
  loaded: LoadedConfig,
  model?: ResolvedModel,
): Promise<SampleMaker | null> {
  const { findTokenizer, tokenizerOf } = await import("../model/find-tokenizer.ts");
  const { config } = loaded;
  const sources = modelSources(context, loaded);
  const options = { id: config.model, revision: config.revision, ...sources, host: context.host };
  const tokenizer = await (model === undefined
    ? findTokenizer(options)
    : model.kind === "toy"
      ? null
      : tokenizerOf(options, model));
  if (tokenizer === null) return null;
  const { makeSampleMaker } = await import("../tokens/load.ts");
  const templates = join(findTrainer().folder, "moxi_train", "finetune", "templates");
  return makeSampleMaker(tokenizer, config.model, templates);
}

/**
 * What the base model's tokenizer and chat template find in a dataset that has no errors of its own
 * to tell; nothing for the toy.
 *
 * @throws MoxiError as openSampleMaker does, and with one of the E_DATASET codes
 */
export async function tokenProblems(
  context: Context,
  loaded: LoadedConfig,
  { path, maxPlaces }: { readonly path: string; readonly maxPlaces?: number | undefined },
): Promise<readonly Problem[]> {
  const maker = await openSampleMaker(context, loaded);
  if (maker === null) return [];
  const [{ TokenSurvey }, { readDataset }] = await Promise.all([
    import("../tokens/survey.ts"),
    import("../dataset/canonical-rows.ts"),
  ]);
  const { config } = loaded;
  const survey = new TokenSurvey(maker, { ...config, maxPlaces });
  const { columns, levels, strict } = checkSettings(config);
  for await (const row of readDataset({ path, cwd: context.cwd, columns })) survey.add(row);
  const wanted = levelsOf({ levels, strict });
  return survey.finish().problems.flatMap((problem) => {
    const severity = wanted[problem.code];
    return severity === "off" ? [] : [{ ...problem, severity }];
  });
}
