import { describe, expect, test } from "vitest";
import { planSchema } from "../run/schemas.ts";
import { costOf } from "../run/cost.ts";
import { intentOf } from "../run/plan.ts";
import type { CloudSettings } from "../run/plan.ts";
import { makePlan } from "./plan.ts";
import type { PlanInput } from "./plan.ts";

const hash = (letter: string) => letter.repeat(64);
const input: PlanInput = {
  config: { method: "lora", target: "local", lora: { rank: 16, alpha: 32, dropout: 0 } },
  sources: {},
  dataset: { fingerprint: hash("a"), trainRows: 1000, evalRows: 50 },
  model: { id: "org/name", revision: "0".repeat(40), fingerprint: null },
  machine: { name: "this machine", accelerator: "cpu", accelerators: 0 },
  trainer: { code: hash("b"), lock: hash("c") },
};
const withRows = (trainRows: number): PlanInput => ({
  ...input,
  dataset: { ...input.dataset, trainRows },
});
const withConfig = (config: Partial<PlanInput["config"]>, sources = {}): PlanInput => ({
  ...input,
  config: { ...input.config, ...config },
  sources,
});
const toy = { ...input, model: { id: "moxi:tiny", revision: null, fingerprint: null } };

test("a plan is valid, whole, and the same for the same input", () => {
  const plan = makePlan(input);
  expect(planSchema.parse(plan)).toEqual(plan);
  expect(makePlan(structuredClone(input))).toEqual(plan);
  expect(plan).toMatchObject({ target: "local", prompts: [], limits: { maxSeconds: null } });
});

describe("what nobody set", () => {
  test.each([
    [1, 3, 4],
    [63, 3, 4],
    [64, 3, 8],
    [199, 3, 8],
    [200, 3, 16],
    [1999, 3, 16],
    [2000, 2, 16],
    [19_999, 2, 16],
    [20_000, 1, 16],
  ])("%i rows: %i epochs, %i rows a step", (rows, epochs, effectiveBatch) => {
    expect(makePlan(withRows(rows)).recipe.training).toMatchObject({ epochs, effectiveBatch });
  });

  test("the learning rate depends on the method, and for LoRA on the size", () => {
    const rate = (given: PlanInput) => makePlan(given).recipe.training.learningRate;
    expect(rate(input)).toBe(2e-4);
    expect(rate({ ...input, model: { ...input.model, parameters: 70e9 } })).toBe(1e-4);
    expect(rate({ ...input, model: { ...input.model, parameters: 8e9 } })).toBe(2e-4);
    expect(rate(withConfig({ method: "full" }))).toBe(2e-5);
  });

  test("the toy has its own values, of a training from scratch", () => {
    const { training } = makePlan({ ...toy, config: { ...toy.config, method: "full" } }).recipe;
    expect(training.learningRate).toBeGreaterThan(1e-3);
    expect(training.epochs).toBeGreaterThan(3);
  });

  test("what the trainer decides stays open", () => {
    const { settings, recipe } = makePlan(input);
    const open = { microBatch: null, gradientCheckpointing: null, evalEverySteps: null };
    const rhythm = { saveEverySteps: null, sampleEverySteps: null };
    expect(settings).toEqual({ ...open, ...rhythm, generationTokens: 128 });
    expect(recipe.training.maxSeqLength).toBeNull();
  });

  test("the best weights are kept, and nothing ends a training early", () => {
    expect(makePlan(input).recipe.training).toMatchObject({ keep: "best", earlyStopping: null });
  });
});

describe("what the user set", () => {
  const given = {
    epochs: 7,
    effectiveBatch: 1,
    learningRate: 1,
    schedule: "constant",
    warmup: 0,
    weightDecay: 0.1,
    maxGradNorm: 2,
    maxSeqLength: 512,
    overlong: "truncate",
    earlyStopping: 3,
    keep: "last",
    seed: 0,
  } as const;
  const settings = {
    microBatch: 2,
    gradientCheckpointing: false,
    evalEverySteps: 5,
    saveEverySteps: 6,
    sampleEverySteps: 7,
    generationTokens: 9,
  };

  test("goes into the plan as it is, zero and false too", () => {
    const prompts = ["Write"];
    const plan = makePlan(withConfig({ ...given, ...settings, prompts, maxHours: 0.5 }));
    expect(plan.recipe.training).toEqual(given);
    expect(plan).toMatchObject({ settings, prompts, limits: { maxSeconds: 1800 } });
  });

  test("goes before the toy's values", () => {
    const plan = makePlan({ ...toy, config: { ...toy.config, ...given } });
    expect(plan.recipe.training).toEqual(given);
  });

  test("is told with its place, and everything else with a reason", () => {
    const sources = {
      epochs: { source: "config file", where: "moxi.config.ts:3" },
      microBatch: { source: "flag", where: "--micro-batch" },
      "lora.rank": { source: "default" },
    };
    const { decisions } = makePlan(withConfig({ epochs: 7, microBatch: 2 }, sources));
    const reason = (name: string) => decisions.find((each) => each.name === name)?.reason;
    expect(decisions.find(({ name }) => name === "epochs")).toEqual({
      name: "epochs",
      value: 7,
      reason: "set by you (moxi.config.ts:3)",
    });
    expect(reason("microBatch")).toBe("set by you (--micro-batch)");
    for (const name of ["method", "lora.rank", "learningRate", "warmup", "seed"]) {
      expect(reason(name), name).toMatch(/^(?!set by you).{4,}/);
    }
    expect(new Set(decisions.map(({ name }) => name)).size).toBe(decisions.length);
    expect(reason("saveEverySteps")).toBeUndefined();
  });
});

test("full training has no adapter", () => {
  const { recipe, decisions } = makePlan(withConfig({ method: "full" }));
  expect(recipe.lora).toBeNull();
  expect(decisions.filter(({ name }) => name.startsWith("lora"))).toEqual([]);
});

describe("an adapter to start from", () => {
  const adapter = {
    run: "moxi-a",
    fingerprint: hash("d"),
    lora: { rank: 8, alpha: 24, dropout: 0.1 },
  };

  test("gives its shape and its fingerprint", () => {
    const { recipe, recipeHash } = makePlan({ ...input, adapter });
    expect(recipe).toMatchObject({ adapter: hash("d"), lora: adapter.lora });
    expect(recipeHash).not.toBe(makePlan({ ...input, adapter: null }).recipeHash);
    expect(JSON.stringify(recipe)).not.toContain("moxi-a");
    const sources = { from: { source: "flag", where: "--from" } };
    const { decisions } = makePlan({ ...input, sources, adapter });
    expect(decisions).toContainEqual({
      name: "from",
      value: "moxi-a",
      reason: "set by you (--from)",
    });
  });

  test("keeps its shape; its dropout may be another", () => {
    const set = { source: "flag", where: "--x" };
    const given = (lora: PlanInput["config"]["lora"], key: string): PlanInput => ({
      ...withConfig({ lora }, { [key]: set }),
      adapter,
    });
    const failure = () => makePlan(given({ rank: 16, alpha: 24, dropout: 0 }, "lora.rank"));
    expect(failure).toThrow("lora.rank is 16, and the adapter of moxi-a has 8");
    const same = makePlan(given({ rank: 8, alpha: 16, dropout: 0 }, "lora.rank"));
    expect(same.recipe.lora).toEqual(adapter.lora);
    const other = makePlan(given({ rank: 16, alpha: 32, dropout: 0.5 }, "lora.dropout"));
    expect(other.recipe.lora).toEqual({ ...adapter.lora, dropout: 0.5 });
  });

  test("is nothing for full training", () => {
    expect(() => makePlan({ ...withConfig({ method: "full" }), adapter })).toThrow(
      "from moxi-a: the method full trains no adapter",
    );
  });
});

test("qlora is for NVIDIA GPUs", () => {
  const planned = (accelerator: "cpu" | "cuda" | "mps") =>
    makePlan({ ...withConfig({ method: "qlora" }), machine: { ...input.machine, accelerator } });
  expect(() => planned("cpu")).toThrow("qlora needs an NVIDIA GPU, and this machine has none");
  expect(() => planned("mps")).toThrow("qlora needs an NVIDIA GPU");
  expect(planned("cuda").recipe).toMatchObject({ method: "qlora", lora: { rank: 16 } });
});

describe("hashes", () => {
  const { recipeHash, planHash } = makePlan(input);

  test("where a value comes from changes neither", () => {
    const set = makePlan(
      withConfig({ epochs: 3 }, { epochs: { source: "flag", where: "--epochs" } }),
    );
    expect(set).toMatchObject({ recipeHash, planHash });
  });

  test("neither do other facts of a model or a dataset", () => {
    const more = {
      ...input,
      model: { ...input.model, folder: "/home/ada", license: "mit" },
      dataset: { ...input.dataset, path: "/home/ada/d.json" },
      machine: { ...input.machine, free: 12 },
      trainer: { ...input.trainer, folder: "/usr/lib" },
    };
    expect(makePlan(more)).toMatchObject({ recipeHash, planHash });
    expect(JSON.stringify(makePlan(more))).not.toContain("/home/");
  });

  test("what is learned changes both, how it is computed only the plan's", () => {
    const learned = makePlan(withConfig({ seed: 1 }));
    expect(learned.recipeHash).not.toBe(recipeHash);
    expect(learned.planHash).not.toBe(planHash);
    const computed = makePlan(withConfig({ microBatch: 1 }));
    expect(computed.recipeHash).toBe(recipeHash);
    expect(computed.planHash).not.toBe(planHash);
  });
});

describe("the limit of a run that costs money", () => {
  const price = { perHour: 2, region: "us-east-1", source: "AWS's price list", date: "2026-11-28" };
  const cloud: CloudSettings = {
    region: "us-east-1",
    bucket: "team-data",
    roleArn: "arn:aws:iam::123456789012:role/moxi",
    image: "123456789012.dkr.ecr.us-east-1.amazonaws.com/image:1",
    imageTag: "1",
    spot: false,
    fallbacks: [],
    maxWaitSeconds: null,
    volumeGigabytes: 100,
    warmPoolSeconds: null,
    retries: 2,
    subnets: [],
    securityGroups: [],
    kmsKey: null,
    networkIsolation: false,
    mirrorModel: false,
  };
  const rented = (config: Partial<PlanInput["config"]>, known = true, spot = false): PlanInput => ({
    ...withConfig({ target: "sagemaker", ...config }),
    rental: { cloud: { ...cloud, spot }, price: known ? price : undefined },
  });
  const limit = (...given: Parameters<typeof rented>) =>
    makePlan(rented(...given)).limits.maxSeconds;

  test.each([
    ["a day, where nobody sets one", {}, 86_400],
    ["hours", { maxHours: 2 }, 7200],
    ["a part of an hour", { maxHours: 0.1 }, 360],
    ["what dollars pay for, rounded down", { maxUsd: 1.001 }, 1801],
    ["a day, also where dollars pay for more", { maxUsd: 1000 }, 86_400],
    ["the smaller of two: dollars", { maxHours: 5, maxUsd: 2 }, 3600],
    ["the smaller of two: hours", { maxHours: 5, maxUsd: 20 }, 18_000],
    ["more than a day, where hours say so", { maxHours: 48, maxUsd: 1000 }, 172_800],
  ])("%s", (_, config, seconds) => {
    expect(limit(config)).toBe(seconds);
    // On spot a machine costs less, and by how much nobody knows: the price on demand stands.
    expect(limit(config, true, true)).toBe(seconds);
    // What is agreed to is never more than the dollars that were named.
    const { maxUsd = Infinity } = config as { maxUsd?: number };
    expect(costOf(price, seconds)).toBeLessThanOrEqual(maxUsd);
  });

  test("has room for the minutes that the machine is kept afterwards", () => {
    const given = rented({ maxUsd: 2 });
    const { cloud: asked } = given.rental!;
    const rental = { cloud: { ...asked, warmPoolSeconds: 600 }, price };
    expect(makePlan({ ...given, rental }).limits.maxSeconds).toBe(3000);
    const longer = { cloud: { ...asked, warmPoolSeconds: 3600 }, price };
    expect(() => makePlan({ ...given, rental: longer })).toThrow("$2 pays for 0 s of the machine");
  });

  test("is told with its reason", () => {
    const { decisions } = makePlan(rented({ maxUsd: 3 }));
    expect(decisions).toContainEqual({ name: "maxUsd", value: 3, reason: "at $2 an hour" });
  });

  test("dollars that pay for nothing, or at a price that nobody knows, are refused", () => {
    const refused = (...given: Parameters<typeof rented>) => {
      try {
        limit(...given);
      } catch (error) {
        return error;
      }
      return undefined;
    };
    const place = { field: "maxUsd" };
    expect(refused({ maxUsd: 0.1 })).toMatchObject({
      code: "E_BUDGET",
      message: "$0.1 pays for 180 s of the machine",
      hint: expect.stringContaining("0.17"),
      place,
    });
    expect(refused({ maxUsd: 10 }, false)).toMatchObject({ code: "E_BUDGET", place });
    expect(limit({}, false)).toBe(86_400);
  });

  test("what AWS answered tells no two plans apart, what was asked for does", () => {
    const at = (perHour: number, image: string, config: Partial<PlanInput["config"]> = {}) => {
      const given = rented({ maxUsd: 3, ...config });
      return makePlan({
        ...given,
        rental: { cloud: { ...cloud, image }, price: { ...price, perHour } },
      });
    };
    const tagged = cloud.image;
    const pinned = (letter: string) => tagged.replace(":1", `@sha256:${letter.repeat(64)}`);
    const plan = at(2, tagged);
    for (const other of [at(2.5, tagged), at(2, pinned("a")), at(2.5, pinned("b"))]) {
      expect(other.planHash).not.toBe(plan.planHash);
      expect(intentOf(other)).toBe(intentOf(plan));
    }
    // Who asks for a digest means it, and who does not means what the tag has.
    const asked = (letter: string) =>
      intentOf(at(2, pinned(letter), { sagemaker: { image: `1@sha256:${hash(letter)}` } }));
    expect(asked("a")).not.toBe(asked("b"));
    expect(asked("a")).not.toBe(intentOf(plan));
    for (const other of [
      at(2, tagged, { maxUsd: 4 }),
      at(2, tagged, { maxHours: 1 }),
      at(2, tagged.replace("/image:", "/other:")),
      at(2, tagged, { seed: 5 }),
      makePlan(rented({ maxHours: 1.5 })),
    ]) {
      expect(intentOf(other)).not.toBe(intentOf(plan));
    }
    const hours = (maxHours: number) => intentOf(makePlan(rented({ maxHours })));
    expect(hours(1)).not.toBe(hours(2));
    const later = { ...cloud, imageTag: "2" };
    const other = makePlan({ ...rented({ maxUsd: 3 }), rental: { cloud: later, price } });
    expect(intentOf(other)).not.toBe(intentOf(plan));
  });

  test("on this machine only hours limit", () => {
    expect(makePlan(withConfig({ maxHours: 1 })).limits.maxSeconds).toBe(3600);
    expect(makePlan(withConfig({ maxUsd: 1 })).limits.maxSeconds).toBeNull();
  });
});
