import { dirname } from "node:path";
import { formatCount } from "../base/format.ts";
import { isRecord } from "../base/json.ts";
import { tellWait } from "../base/waiting.ts";
import type { LoadedConfig } from "../config/loaded.ts";
import type { PreparedDataset } from "../dataset/prepare.ts";
import type { ResolvedModel } from "../model/resolve.ts";
import type { Recipe } from "../run/recipe.ts";
import { hideFromGit } from "../store/runs.ts";
import type { TokenStats } from "../tokens/survey.ts";
import type { Context } from "./context.ts";
import { checkSettings } from "./data-check.ts";
import { localDataset } from "./data-source.ts";
import { modelSources } from "./model-sources.ts";
import { programId } from "./program-id.ts";
import { inspectTokens, tellTokens } from "./train-tokens.ts";

export interface PreparedRows {
  readonly dataset: PreparedDataset;
  readonly model: ResolvedModel;
}

/** What is kept with a dataset: the base model that its tokens were counted for, and these. */
interface Looked {
  readonly model: string;
  readonly tokens: Omit<TokenStats, "problems"> | null;
}

/**
 * The rows, checked with the base model at hand, which is looked for when they are sound apart from
 * it. Rows that were checked before, by this very program with these settings, are not read again.
 *
 * @param outFolder where the canonical rows go
 * @param code of the training program, which brings the chat templates
 */
export async function prepareRows(
  context: Context,
  loaded: LoadedConfig,
  outFolder: string,
  recipe: Recipe | undefined,
  code: string,
): Promise<PreparedRows> {
  const { host, cwd, clock } = context;
  const { config } = loaded;
  const { split, maxSeqLength, overlong } = config;
  const path = await localDataset(context, loaded, config.dataset);
  const settings = { path, cwd, split, ...checkSettings(config), outFolder };
  const besides = { model: config.model, maxSeqLength, overlong, code };
  const circumstances = { ...settings, program: programId(), besides };
  const { recallDataset, watchDataset } = await import("../dataset/memory.ts");

  const known = await recallDataset(circumstances);
  let model: ResolvedModel | undefined;
  if (known !== undefined && isLooked(known.more)) {
    model = await findModel(context, loaded, recipe);
    if (known.more.model === nameOf(model)) {
      if (known.more.tokens !== null) tellTokens(host, known.more.tokens);
      tellRows(context, known.dataset, "unchanged since they were checked");
      return { dataset: known.dataset, model };
    }
  }

  const remember = await watchDataset(circumstances);
  let tokens: Looked["tokens"] = null;
  const { prepareDataset } = await import("../dataset/prepare.ts");
  const dataset = await prepareDataset({
    ...settings,
    host,
    inspect: async (rows, bytes) => {
      model ??= await findModel(context, loaded, recipe);
      const inspection = await inspectTokens(context, loaded, model, rows, bytes);
      tokens = inspection.tokens ?? null;
      return inspection;
    },
  });
  await hideFromGit(dirname(outFolder));
  tellRows(context, dataset);
  const name = nameOf(model!);
  // Where no tokenizer was found, the next try may find one.
  if (name !== undefined && (tokens !== null || model!.kind === "toy")) {
    const more: Looked = { model: name, tokens };
    await remember({ dataset, more }, clock.now());
  }
  return { dataset, model: model! };
}

function tellRows({ host }: Context, dataset: PreparedDataset, known?: string): void {
  const { trainRows, evalRows, format, warnings } = dataset;
  const rows = `${formatCount(trainRows)} rows to train on, ${formatCount(evalRows)} held out`;
  const about = known === undefined ? format : `${format}; ${known}`;
  host.notify({ type: "task", id: "dataset", state: "done", text: `${rows} (${about})` });
  for (const text of warnings) host.notify({ type: "warning", text });
}

function isLooked(value: unknown): value is Looked {
  return isRecord(value) && typeof value["model"] === "string";
}

/** Which model it is, to the last byte; undefined where the hub does not tell. */
function nameOf({ id, kind, revision, fingerprint }: ResolvedModel): string | undefined {
  if (kind === "hub" && revision === null) return undefined;
  return [id, kind, revision, fingerprint].join(" ");
}

async function findModel(
  context: Context,
  loaded: LoadedConfig,
  recipe: Recipe | undefined,
): Promise<ResolvedModel> {
  const { host } = context;
  const { config } = loaded;
  const { resolveModel } = await import("../model/resolve.ts");
  const asked = resolveModel({
    id: recipe?.model.id ?? config.model,
    revision: recipe === undefined ? config.revision : (recipe.model.revision ?? undefined),
    ...modelSources(context, loaded),
  });
  const model = await tellWait(host, `the model hub: look for ${config.model}`, asked);
  for (const text of model.warnings) host.notify({ type: "warning", text });
  return model;
}
