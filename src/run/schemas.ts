import * as z from "zod";
import type { Attempt } from "./attempt.ts";
import type { EventBody, RunEvent } from "./event.ts";
import type { Job, TrainerSettings } from "./job.ts";
import { targetNames, trackers } from "./plan.ts";
import type { Plan } from "./plan.ts";
import { keeps, methods, overlongs } from "./recipe.ts";
import type { Recipe } from "./recipe.ts";

// The types beside this file are what people read; these schemas are what machines check and what
// schema/*.json is generated from. `satisfies` and the annotations keep the two equal.

const count = z.int().nonnegative();
const positive = z.int().positive();
const hash = z.string().regex(/^[0-9a-f]{64}$/);
const method = z.enum(methods);
const overlong = z.enum(overlongs);
const keep = z.enum(keeps);
const schedule = z.enum(["trapezoid", "linear", "cosine", "constant"]);
const share = z.number().min(0).max(1);

export const recipeSchema: z.ZodType<Recipe> = z.strictObject({
  formatVersion: z.literal(1),
  model: z.strictObject({
    id: z.string().min(1),
    revision: z.string().nullable(),
    fingerprint: hash.nullable(),
  }),
  dataset: z.strictObject({ fingerprint: hash, trainRows: positive, evalRows: count }),
  method,
  lora: z.strictObject({ rank: positive, alpha: positive, dropout: share }).nullable(),
  adapter: hash.nullable(),
  training: z.strictObject({
    epochs: z.number().positive(),
    effectiveBatch: positive,
    learningRate: z.number().positive(),
    schedule,
    warmup: share,
    weightDecay: z.number().nonnegative(),
    maxGradNorm: z.number().positive(),
    maxSeqLength: positive.nullable(),
    overlong,
    earlyStopping: positive.nullable(),
    keep,
    seed: count,
  }),
  trainer: z.strictObject({ code: hash, lock: hash }),
});

const decision = z.strictObject({
  name: z.string(),
  value: z.union([z.string(), z.number(), z.boolean()]),
  reason: z.string(),
});

export const planSchema: z.ZodType<Plan> = z.strictObject({
  formatVersion: z.literal(1),
  recipe: recipeSchema,
  recipeHash: hash,
  target: z.enum(targetNames),
  machine: z.strictObject({
    name: z.string(),
    accelerator: z.enum(["cpu", "cuda", "mps"]),
    accelerators: count,
  }),
  cloud: z
    .strictObject({
      region: z.string(),
      bucket: z.string(),
      roleArn: z.string(),
      image: z.string(),
      imageTag: z.string(),
      spot: z.boolean(),
      fallbacks: z.array(z.string()),
      maxWaitSeconds: positive.nullable(),
      volumeGigabytes: positive,
      warmPoolSeconds: positive.nullable(),
      retries: positive.nullable(),
      subnets: z.array(z.string()),
      securityGroups: z.array(z.string()),
      kmsKey: z.string().nullable(),
      networkIsolation: z.boolean(),
      mirrorModel: z.boolean(),
    })
    .nullable(),
  settings: z.strictObject({
    microBatch: positive.nullable(),
    gradientCheckpointing: z.boolean().nullable(),
    evalEverySteps: positive.nullable(),
    saveEverySteps: positive.nullable(),
    sampleEverySteps: positive.nullable(),
    generationTokens: positive,
  }),
  prompts: z.array(z.string()),
  trackers: z.array(z.enum(trackers)),
  limits: z.strictObject({ maxSeconds: positive.nullable() }),
  decisions: z.array(decision),
  planHash: hash,
});

/** What a newer version writes besides is kept. */
export const attemptSchema: z.ZodType<Attempt> = z.looseObject({
  attempt: positive,
  name: z.string(),
  target: z.enum(targetNames),
  at: z.iso.datetime(),
  nonce: z.string().regex(/^[0-9a-f]{32}$/),
  maxSeconds: positive.exactOptional(),
  carriedSeconds: z.number().nonnegative().exactOptional(),
  machine: z.string().exactOptional(),
  price: z
    .strictObject({
      perHour: z.number().nonnegative(),
      region: z.string(),
      source: z.string(),
      date: z.string(),
    })
    .exactOptional(),
});

const trainerSettingsSchema: z.ZodType<TrainerSettings> = z.strictObject({
  model: z.string().min(1),
  revision: z.string().nullable(),
  modelPath: z.string().nullable(),
  adapterPath: z.string().nullable(),
  method,
  loraRank: positive.nullable(),
  loraAlpha: positive.nullable(),
  loraDropout: share.nullable(),
  epochs: z.number().positive(),
  effectiveBatch: positive,
  microBatch: positive.nullable(),
  learningRate: z.number().positive(),
  schedule,
  warmup: share,
  weightDecay: z.number().nonnegative(),
  maxGradNorm: z.number().positive(),
  maxSeqLength: positive.nullable(),
  overlong,
  gradientCheckpointing: z.boolean().nullable(),
  evalEverySteps: positive.nullable(),
  saveEverySteps: positive.nullable(),
  sampleEverySteps: positive.nullable(),
  earlyStopping: positive.nullable(),
  keep,
  generationTokens: positive,
  prompts: z.array(z.string()),
  trackers: z.array(z.enum(trackers)),
  seed: count,
  maxSteps: positive.nullable(),
});

export const jobSchema: z.ZodType<Job> = z.strictObject({
  formatVersion: z.literal(1),
  run: z.string().min(1).max(55),
  attempt: positive,
  nonce: z.string().regex(/^[0-9a-f]{32}$/),
  planHash: hash,
  recipeHash: hash,
  datasetFingerprint: hash,
  maxSeconds: positive.nullable(),
  processes: positive,
  secrets: z.array(
    z.strictObject({
      name: z.string().regex(/^[A-Z][A-Z0-9_]*$/),
      parameter: z.string().regex(/^\/moxi\/[a-z0-9/-]+$/),
      region: z.string().min(1),
    }),
  ),
  trainer: trainerSettingsSchema,
});

const stamp = {
  v: z.literal(1),
  run: z.string().min(1).max(55),
  attempt: positive,
  boot: positive,
  seq: positive,
  at: z.iso.datetime(),
};

const bodies = {
  phase: {
    name: z.enum(["waiting", "starting", "data", "model", "training", "saving"]),
    detail: z.string().exactOptional(),
  },
  decision: {
    name: z.string(),
    value: z.union([z.string(), z.number(), z.boolean(), z.null()]),
    reason: z.string(),
  },
  step: {
    step: positive,
    steps: positive,
    epoch: z.number().nonnegative(),
    loss: z.number().nullable(),
    learningRate: z.number().nonnegative(),
    gradNorm: z.number().nonnegative().nullable(),
    tokens: count,
    tokensPerSecond: z.number().nonnegative().nullable(),
    memoryBytes: count,
    seconds: z.number().nonnegative(),
  },
  eval: {
    step: count,
    loss: z.number().nullable(),
    rows: count,
    tokens: count,
    seconds: z.number().nonnegative(),
  },
  generation: { step: count, index: count, prompt: z.string(), text: z.string() },
  checkpoint: { step: count, name: z.string(), bytes: count },
  resumed: { fromStep: count },
  alert: {
    level: z.enum(["info", "warning", "error"]),
    code: z.string(),
    message: z.string(),
    hint: z.string().exactOptional(),
  },
  artifact: { kind: z.enum(["model", "adapter"]), files: positive, bytes: positive },
  heartbeat: {},
  end: {
    outcome: z.enum(["succeeded", "failed", "stopped"]),
    exitCode: z.int(),
    error: z.string().max(1024).exactOptional(),
  },
} satisfies Record<EventBody["type"], z.ZodRawShape>;

const event = <T extends keyof typeof bodies>(type: T) =>
  z.strictObject({ ...stamp, type: z.literal(type), ...bodies[type] });

export const eventSchema: z.ZodType<RunEvent> = z.discriminatedUnion("type", [
  event("phase"),
  event("decision"),
  event("step"),
  event("eval"),
  event("generation"),
  event("checkpoint"),
  event("resumed"),
  event("alert"),
  event("artifact"),
  event("heartbeat"),
  event("end"),
]);
