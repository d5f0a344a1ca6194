import { relative, resolve } from "node:path";
import { nearestName } from "../base/format.ts";
import { looksLikePath, resolvePath } from "../base/paths.ts";
import { toyModel } from "../run/recipe.ts";
import type { Config } from "./config.ts";
import { readEnvironment } from "./environment.ts";
import type { Environment } from "./environment.ts";
import { findProject } from "./find.ts";
import type { LoadedConfig, Source } from "./loaded.ts";
import { environmentName, flagName } from "./names.ts";
import { readOutside } from "./outside.ts";
import { readConfigFile, unreadable } from "./read.ts";
import { settingSchemas } from "./schema.ts";
import { Settings } from "./settings.ts";

export interface LoadOptions {
  /** Where the command was given, absolute. */
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly home: string;
  /** By nested or dotted key; values, or the text that was typed. `undefined` is not set. */
  readonly flags?: Readonly<Record<string, unknown>>;
  /** What "moxi" means when a config imports it: the URL of this package's index. */
  readonly libraryUrl: string;
}

/**
 * Reads the config once, from everywhere. Where two places name the same setting the stronger
 * wins: a flag, then the environment, `.env`, the config file, the default.
 *
 * @throws MoxiError E_CONFIG_INVALID, E_CONFIG_UNREADABLE, E_CONFIG_AMBIGUOUS
 */
export async function loadConfig(options: LoadOptions): Promise<LoadedConfig> {
  const { folder, file } = findProject(options.cwd);
  const environment = readEnvironment(folder, options.env);
  const settings = new Settings();
  if (file !== null) await addFile(settings, file, options);
  for (const key of settingSchemas.keys()) {
    const variable = environment.find(environmentName(key));
    if (variable !== undefined) settings.add(key, variable.value.trim(), variable);
  }
  settings.addAll(options.flags ?? {}, (key) => ({
    source: "flag",
    where: flagName(key),
    place: {},
  }));
  settings.check();

  const outside = readOutside(environment);
  fillDefaults(settings, outside.sources["aws.roleArn"]);
  anchorPaths(settings, folder, options);
  const sources = [...settingSchemas.keys()].map((key): [string, Source] => {
    const { source, where } = settings.values.get(key) ?? { source: "default" };
    return [key, where === undefined ? { source } : { source, where }];
  });
  return {
    config: nested(settings),
    sources: { ...Object.fromEntries(sources), ...outside.sources },
    file,
    folder,
    secrets: outside.secrets,
    aws: outside.aws,
    hubUrl: outside.hubUrl,
    env: environment.toObject(),
    warnings: [...outside.warnings, ...misspelt(environment), ...unused(settings)],
  };
}

async function addFile(settings: Settings, file: string, options: LoadOptions): Promise<void> {
  const { value, locate } = await readConfigFile(file, options.libraryUrl);
  const name = relative(options.cwd, file);
  try {
    settings.addAll(value, (key) => {
      const place = locate(key);
      const where = place.line === undefined ? name : `${name}:${place.line}`;
      return { source: "config file", where, place };
    });
  } catch (error) {
    throw unreadable(file, error); // a getter or a proxy: reading a setting runs the user's program
  }
}

/** Fills in what does not depend on the data; the rest is the planner's, and the trainer's. */
function fillDefaults({ values }: Settings, roleArn: Source): void {
  const fallBack = (key: string, value: unknown, source: Source = { source: "default" }): void => {
    if (!values.has(key)) values.set(key, { value, ...source });
  };
  fallBack("dataset", "data/sft/training_dataset.json");
  fallBack("model", toyModel);
  fallBack("method", values.get("model")!.value === toyModel ? "full" : "lora");
  if (roleArn.source === "default") fallBack("target", "local");
  else fallBack("target", "sagemaker", roleArn);
  fallBack("lora.rank", 16);
  // Twice the rank: the community's rule, and at rank 16 the value of "LoRA Without Regret" (2025).
  fallBack("lora.alpha", 2 * (values.get("lora.rank")!.value as number));
  fallBack("lora.dropout", 0);
  fallBack("split.evalFraction", 0.05);
  fallBack("split.maxEvalRows", 500);
}

/** A typed path starts where it was typed, a written one at the project's folder. */
function anchorPaths({ values }: Settings, folder: string, { cwd, home }: LoadOptions): void {
  const start = ({ source }: Source): string =>
    source === "flag" || source === "environment" ? cwd : folder;
  const dataset = values.get("dataset")!;
  values.set("dataset", {
    ...dataset,
    value: isAddress(dataset.value as string)
      ? dataset.value
      : resolvePath(dataset.value as string, start(dataset), home),
  });
  const model = values.get("model")!;
  const id = model.value as string;
  // The id goes into the recipe, so it stays as it was written wherever that means the same folder.
  if (/^\.{1,2}(?:[/\\]|$)/.test(id) && start(model) !== folder) {
    const path = relative(folder, resolve(cwd, id));
    values.set("model", { ...model, value: looksLikePath(path) ? path : `./${path}` });
  }
}

/** A dataset that lies elsewhere: s3://BUCKET/KEY or hf://datasets/ORG/NAME. */
function isAddress(dataset: string): boolean {
  return /^(?:s3|hf):\/\//.test(dataset);
}

function nested({ values }: Settings): Config {
  const config: Record<string, unknown> = {};
  const groups: Record<string, Record<string, unknown>> = {};
  for (const [key, { value }] of values) {
    const [group, name] = key.split(".") as [string, string?];
    if (name === undefined) config[key] = value;
    else (groups[group] ??= {})[name] = value;
  }
  return { ...config, ...groups } as unknown as Config;
}

/** Variables of ours that are read elsewhere, or by the training program. */
const otherVariables = new Set([
  "MOXI_DEBUG",
  "MOXI_EVENTS",
  "MOXI_ML_ROOT",
  "MOXI_CACHE",
  "MOXI_POLL_SECONDS",
]);

function misspelt(environment: Environment): string[] {
  const known = [...settingSchemas.keys()].map((key) => environmentName(key).slice("MOXI_".length));
  return [...environment.variables.values()].flatMap(({ name }) => {
    if (!name.startsWith("MOXI_") || otherVariables.has(name)) return [];
    const rest = name.slice("MOXI_".length);
    const meant = known.includes(rest) ? undefined : nearestName(rest, known);
    return meant === undefined ? [] : [`${name} is not used: did you mean MOXI_${meant}?`];
  });
}

function unused({ values }: Settings): string[] {
  const warnings: string[] = [];
  const isSet = (key: string): boolean => (values.get(key)?.source ?? "default") !== "default";
  const model = values.get("model")!.value as string;
  if (values.get("method")!.value === "full") {
    const set = ["lora.rank", "lora.alpha", "lora.dropout"].filter(isSet);
    if (set.length > 0) warnings.push(`${set.join(", ")} is not used: the method is full`);
  }
  if (model === toyModel && values.get("method")!.value !== "full") {
    warnings.push(`${toyModel} is untrained: an adapter on its random weights learns little`);
  }
  if (isSet("revision") && (model === toyModel || looksLikePath(model))) {
    warnings.push(`revision is not used: ${model} is not a model of the hub`);
  }
  return warnings;
}
