import * as z from "zod";
import { targetNames, trackers } from "../run/plan.ts";
import { keeps, methods, overlongs } from "../run/recipe.ts";
import type { UserConfig } from "./config.ts";

// UserConfig is what people read; this is what machines check and what schema/config.json is
// generated from. `satisfies` holds the two equal: a key that only one of them has does not compile.
type Shape<T> = { readonly [K in keyof Required<T>]: z.ZodType<NonNullable<T[K]>> };

const positive = z.int().positive();
const share = z.number().min(0).max(1);

const lora = z.strictObject({
  rank: positive,
  alpha: positive,
  dropout: share,
} satisfies Shape<NonNullable<UserConfig["lora"]>>);

const split = z.strictObject({
  evalFraction: z.number().min(0).max(0.5),
  maxEvalRows: z.int().nonnegative(),
  groupBy: z.string().min(1),
} satisfies Shape<NonNullable<UserConfig["split"]>>);

const name = z.string().min(1);

const columns = z.strictObject({
  prompt: name,
  completion: name,
  context: name,
  system: name,
  messages: name,
  text: name,
} satisfies Shape<NonNullable<UserConfig["columns"]>>);

const sagemaker = z.strictObject({
  image: name,
  volumeGb: positive,
  maxWaitHours: z.number().positive(),
  warmPoolMinutes: z.int().min(1).max(360),
  retries: z.int().min(1).max(30),
  subnets: z.array(name),
  securityGroups: z.array(name),
  kmsKey: name,
  networkIsolation: z.boolean(),
  mirrorModel: z.boolean(),
} satisfies Shape<NonNullable<UserConfig["sagemaker"]>>);

const settings = {
  dataset: z.string().min(1),
  model: z.string().min(1),
  revision: z.string().min(1),
  method: z.enum(methods),
  from: z.string().min(1),
  target: z.enum(targetNames),
  epochs: z.number().positive(),
  effectiveBatch: positive,
  microBatch: positive,
  learningRate: z.number().positive(),
  schedule: z.enum(["trapezoid", "linear", "cosine", "constant"]),
  warmup: share,
  weightDecay: z.number().nonnegative(),
  maxGradNorm: z.number().positive(),
  maxSeqLength: positive,
  overlong: z.enum(overlongs),
  gradientCheckpointing: z.boolean(),
  seed: z.int().nonnegative(),
  lora,
  columns,
  rules: z.array(z.string().regex(/^[a-z-]+=(?:error|warning|info|off)$/)),
  strict: z.boolean(),
  skipBadRows: z.boolean(),
  split,
  evalEverySteps: positive,
  saveEverySteps: positive,
  sampleEverySteps: positive,
  earlyStopping: positive,
  keep: z.enum(keeps),
  prompts: z.array(z.string().min(1)),
  trackers: z.array(z.enum(trackers)),
  generationTokens: positive,
  maxHours: z.number().positive(),
  maxUsd: z.number().positive(),
  instance: name,
  fallbacks: z.array(name),
  spot: z.boolean(),
  sagemaker,
} satisfies Shape<UserConfig>;

/** What a config may hold. `$schema` lets editors complete moxi.config.json. */
export const configSchema = z
  .strictObject({
    $schema: z.string(),
    ...settings,
    lora: lora.partial(),
    columns: columns.partial(),
    split: split.partial(),
    sagemaker: sagemaker.partial(),
  })
  .partial();

/** Every setting by its dotted key ("epochs", "lora.rank" ...), in the order of UserConfig. */
export const settingSchemas: ReadonlyMap<string, z.ZodType> = new Map(
  Object.entries(settings).flatMap(([key, schema]) =>
    schema instanceof z.ZodObject
      ? Object.entries(schema.shape).map(([name, leaf]) => [`${key}.${name}`, leaf] as const)
      : [[key, schema] as const],
  ),
);

/** What a setting takes, in words: "a whole number above 0". */
export function allowed(schema: z.ZodType): string {
  const {
    type,
    enum: values,
    exclusiveMinimum,
    minimum,
    maximum = Number.MAX_SAFE_INTEGER,
  } = z.toJSONSchema(schema);
  if (values !== undefined) return `one of ${values.join(", ")}`;
  if (type === "boolean") return "true or false";
  if (type === "array") return `a list of texts, such as ["a", "b"]`;
  if (type === "string") return "a text that is not empty";
  const number = type === "integer" ? "a whole number" : "a number";
  if (exclusiveMinimum !== undefined) return `${number} above ${exclusiveMinimum}`;
  return maximum < Number.MAX_SAFE_INTEGER
    ? `${number} from ${minimum} to ${maximum}`
    : `${number} from ${minimum} up`;
}
