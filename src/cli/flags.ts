import type { FlagParametersForType } from "@stricli/core";
import type { UserConfig } from "../config/config.ts";

/** The dotted paths of every setting: "dataset", "lora.rank" ... */
export type ConfigKey<T = UserConfig> = {
  [K in keyof T & string]: NonNullable<T[K]> extends readonly unknown[]
    ? K
    : NonNullable<T[K]> extends object
      ? `${K}.${ConfigKey<NonNullable<T[K]>>}`
      : K;
}[keyof T & string];

/** A setting of the config as a flag: its text is read and judged where the whole config is. */
export interface ConfigFlag {
  readonly kind: "parsed";
  readonly parse: (input: string) => string;
  readonly placeholder: string;
  readonly brief: string;
  readonly optional: true;
  /** The flag may stand alone. */
  readonly inferEmpty?: true;
  /** The flag may be repeated. */
  readonly variadic?: true;
}

const text = (placeholder: string, brief: string): ConfigFlag => ({
  kind: "parsed",
  parse: (input) => input,
  placeholder,
  brief,
  optional: true,
});
const number = (brief: string) => text("N", brief);

/** Every setting that can be written in a config file, as a flag. */
const byKey: Readonly<Record<ConfigKey, ConfigFlag>> = {
  dataset: text("PATH", "the rows to learn from"),
  model: text("MODEL", "a hub id, a folder, or moxi:tiny (a toy)"),
  revision: text("REV", "the commit, branch or tag of a hub model"),
  method: text("NAME", "lora, qlora (4-bit base) or full"),
  from: text("RUN", "go on from the adapter of another run"),
  target: text("TARGET", "where to train: local, sagemaker or ec2"),
  epochs: number("passes over the training rows"),
  effectiveBatch: number("sequences per optimizer step"),
  microBatch: number("sequences per forward pass (what fits)"),
  learningRate: number("the highest learning rate"),
  schedule: text("NAME", "trapezoid, linear, cosine or constant"),
  warmup: number("share of the steps that warms up, 0 to 1"),
  weightDecay: number("weight decay"),
  maxGradNorm: number("gradients are clipped to this norm"),
  maxSeqLength: number("tokens a row may have"),
  overlong: text("NAME", "longer rows: drop, truncate or error"),
  gradientCheckpointing: {
    ...text("BOOL", "less memory for more time (when needed)"),
    parse: (input) => input || "true",
    inferEmpty: true,
  },
  seed: number("of everything that is random"),
  "lora.rank": number("the adapter's rank"),
  "lora.alpha": number("the adapter's scale"),
  "lora.dropout": number("the adapter's dropout, 0 to 1"),
  "columns.prompt": text("FIELD", "the field that holds the prompt"),
  "columns.completion": text("FIELD", "the field that holds the answer"),
  "columns.context": text("FIELD", "a field that follows the prompt"),
  "columns.system": text("FIELD", "the field that holds the system prompt"),
  "columns.messages": text("FIELD", "the field that holds a conversation"),
  "columns.text": text("FIELD", "the field that holds text without sides"),
  rules: {
    ...text("CODE=LEVEL", "level of a dataset rule; repeatable"),
    variadic: true,
  },
  strict: {
    ...text("BOOL", "warnings of the dataset check are errors"),
    parse: (input) => input || "true",
    inferEmpty: true,
  },
  skipBadRows: {
    ...text("BOOL", "go on without the rows that have errors"),
    parse: (input) => input || "true",
    inferEmpty: true,
  },
  "split.evalFraction": number("share of the rows that is held out (0.05)"),
  "split.maxEvalRows": number("at most this many held-out rows (500)"),
  "split.groupBy": text("FIELD", "rows with the same value stay on one side"),
  evalEverySteps: number("steps between two evaluations"),
  saveEverySteps: number("keep a checkpoint every so many steps"),
  sampleEverySteps: number("answer the prompts every so many steps"),
  earlyStopping: number("end after N evaluations without a new best"),
  keep: text("NAME", "weights to keep: best or last"),
  prompts: { ...text("TEXT", "sample this before and after; repeatable"), variadic: true },
  trackers: { ...text("NAME", "metrics also go to wandb, ...; repeatable"), variadic: true },
  generationTokens: number("new tokens a sample may have"),
  maxHours: number("stop after so many hours"),
  maxUsd: number("stop before it costs more"),
  instance: text("TYPE", "the AWS machine (ml.g5.2xlarge)"),
  fallbacks: { ...text("TYPE", "taken where there is none; repeatable"), variadic: true },
  spot: {
    ...text("BOOL", "a cheaper machine that AWS may take away"),
    parse: (input) => input || "true",
    inferEmpty: true,
  },
  "sagemaker.image": text("IMAGE", "a tag of AWS's, or an address"),
  "sagemaker.volumeGb": number("disk of a machine without its own, in GB"),
  "sagemaker.maxWaitHours": number("waiting for spot and training"),
  "sagemaker.warmPoolMinutes": number("keep the machine so long, paid"),
  "sagemaker.retries": number("tries after SageMaker's own errors (2)"),
  "sagemaker.subnets": { ...text("ID", "a subnet of your VPC; repeatable"), variadic: true },
  "sagemaker.securityGroups": { ...text("ID", "a security group; repeatable"), variadic: true },
  "sagemaker.kmsKey": text("KEY", "encrypts what is sent and left"),
  "sagemaker.networkIsolation": {
    ...text("BOOL", "no network for the job"),
    parse: (input) => input || "true",
    inferEmpty: true,
  },
  "sagemaker.mirrorModel": {
    ...text("BOOL", "copy the model into the bucket once"),
    parse: (input) => input || "true",
    inferEmpty: true,
  },
  packageIndex: text("URL", "the index of the job's Python packages"),
};

type ParameterName<K extends string> = K extends `${infer Group}.${infer Name}`
  ? `${Group}${Capitalize<Name>}`
  : K;

/** Settings that may be given more than once. */
type ListKey =
  | "prompts"
  | "rules"
  | "trackers"
  | "fallbacks"
  | "sagemaker.subnets"
  | "sagemaker.securityGroups";

/** What stricli hands to a command: the text of each setting that was given. */
export type ConfigFlags = {
  readonly [K in ConfigKey as ParameterName<K>]?: K extends ListKey ? readonly string[] : string;
};

/** "lora.rank" as the name of a parameter: "loraRank", typed --lora-rank or --loraRank. */
function parameterName(key: string): string {
  return key.replace(/\.(\w)/g, (_dot, letter: string) => letter.toUpperCase());
}

/** For a command's parameters. */
export const configFlags: FlagParametersForType<ConfigFlags> = Object.fromEntries(
  Object.entries(byKey).map(([key, spec]) => [parameterName(key), spec]),
) as unknown as FlagParametersForType<ConfigFlags>;

/** The same of some settings, or of all in a group ("columns"): those that act on a command. */
export function someConfigFlags(
  ...keys: readonly (ConfigKey | "columns" | "split")[]
): FlagParametersForType<ConfigFlags> {
  const wanted = (key: string) => keys.some((name) => key === name || key.startsWith(`${name}.`));
  return Object.fromEntries(
    Object.entries(byKey)
      .filter(([key]) => wanted(key))
      .map(([key, spec]) => [parameterName(key), spec]),
  ) as unknown as FlagParametersForType<ConfigFlags>;
}

/** A record without a prototype: stricli looks names up, and `--constructor` is no flag of ours. */
export function bare<T extends object>(record: T): T {
  return Object.assign(Object.create(null) as T, record);
}

/** The settings that were given as flags, by their dotted keys in the config. */
export function givenSettings(flags: ConfigFlags): Record<string, unknown> {
  const given: Record<string, unknown> = {};
  for (const key of Object.keys(byKey)) {
    const value = flags[parameterName(key) as keyof ConfigFlags];
    if (value !== undefined) given[key] = value;
  }
  return given;
}

/** "learningRate" as it is typed: "learning-rate". */
export function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** Accepts `--lora.rank`, named as in the config, for `--lora-rank`. */
export function withoutDots(argument: string): string {
  return argument.replace(/^--[a-zA-Z][\w.-]*/, (name) => name.replaceAll(".", "-"));
}
