import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { explain } from "./explain.ts";
import { loadConfig } from "./load.ts";
import type { LoadOptions } from "./load.ts";
import { environmentName, flagName } from "./names.ts";
import { settingSchemas } from "./schema.ts";

let folder: string;
beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), "moxi-config-"))));
afterEach(() => rm(folder, { recursive: true }));

const write = (name: string, content: string | object) =>
  writeFile(
    join(folder, name),
    typeof content === "string" ? content : JSON.stringify(content, null, 2),
  );
const load = (options: Partial<LoadOptions> = {}) =>
  loadConfig({ cwd: folder, env: {}, home: "/home/ada", libraryUrl: "unused:", ...options });

describe("precedence", () => {
  const places = ["config file", ".env", "environment", "flag"] as const;
  const where = {
    "config file": "moxi.config.json:3",
    ".env": ".env:2",
    environment: "MOXI_SPLIT_EVAL_FRACTION",
    flag: "--split-eval-fraction",
  };
  const subsets = Array.from({ length: 16 }, (_, bits) => places.filter((_, i) => bits & (1 << i)));

  test.each(subsets.map((subset) => ({ subset })))(
    "of $subset the last wins",
    async ({ subset }) => {
      const values = { "config file": 0.1, ".env": 0.2, environment: 0.3, flag: 0.4 };
      const has = (place: (typeof places)[number]) => subset.includes(place);
      if (has("config file")) await write("moxi.config.json", { split: { evalFraction: 0.1 } });
      if (has(".env")) await write(".env", "# a comment\nMOXI_SPLIT_EVAL_FRACTION=0.2\n");
      const loaded = await load({
        env: has("environment") ? { MOXI_SPLIT_EVAL_FRACTION: "0.3" } : {},
        flags: has("flag") ? { split: { evalFraction: "0.4" } } : {},
      });
      const winner = subset.at(-1);
      expect(loaded.config.split.evalFraction).toBe(winner ? values[winner] : 0.05);
      expect(loaded.sources["split.evalFraction"]).toEqual(
        winner ? { source: winner, where: where[winner] } : { source: "default" },
      );
      expect(loaded.config.split.maxEvalRows).toBe(500);
    },
  );

  test("every setting can be set by flag, by environment and in the file", async () => {
    const examples: Record<string, unknown> = {
      dataset: "/d.jsonl",
      model: "org/m",
      revision: "v1",
      method: "full",
      from: "7f3k",
      target: "ec2",
      epochs: 1.5,
      effectiveBatch: 8,
      microBatch: 2,
      learningRate: 1e-4,
      schedule: "linear",
      warmup: 0.1,
      weightDecay: 0.01,
      maxGradNorm: 0.5,
      maxSeqLength: 512,
      overlong: "error",
      seed: 0,
      gradientCheckpointing: false,
      "lora.rank": 4,
      "lora.alpha": 4,
      "lora.dropout": 0.1,
      "columns.prompt": "question",
      "columns.completion": "answer",
      "columns.context": "passage",
      "columns.system": "rules",
      "columns.messages": "chat",
      "columns.text": "body",
      rules: ["duplicate=off"],
      strict: true,
      skipBadRows: true,
      "split.evalFraction": 0.5,
      "split.maxEvalRows": 9,
      "split.groupBy": "package",
      evalEverySteps: 5,
      saveEverySteps: 6,
      sampleEverySteps: 7,
      earlyStopping: 3,
      keep: "last",
      prompts: ["a", "b"],
      trackers: ["wandb"],
      generationTokens: 7,
      maxHours: 0.5,
      maxUsd: 4,
      instance: "ml.g6.xlarge",
      fallbacks: ["ml.g5.xlarge"],
      spot: true,
      "sagemaker.image": "2.8.0-transformers4.56.2-gpu-py312-cu129-ubuntu22.04",
      "sagemaker.volumeGb": 200,
      "sagemaker.maxWaitHours": 3,
      "sagemaker.warmPoolMinutes": 10,
      "sagemaker.retries": 3,
      "sagemaker.subnets": ["subnet-1"],
      "sagemaker.securityGroups": ["sg-1"],
      "sagemaker.kmsKey": "alias/team",
      "sagemaker.networkIsolation": true,
      "sagemaker.mirrorModel": true,
      packageIndex: "https://index.example/simple",
    };
    expect(Object.keys(examples).sort()).toEqual([...settingSchemas.keys()].sort());
    const text = (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value));
    const entries = Object.entries(examples);
    const env = Object.fromEntries(entries.map(([key, v]) => [environmentName(key), text(v)]));
    const nested = Object.fromEntries(entries.filter(([key]) => !key.includes(".")));
    await write("moxi.config.json", {
      ...nested,
      lora: { rank: 4, alpha: 4, dropout: 0.1 },
      sagemaker: {
        image: "2.8.0-transformers4.56.2-gpu-py312-cu129-ubuntu22.04",
        volumeGb: 200,
        maxWaitHours: 3,
        warmPoolMinutes: 10,
        retries: 3,
        subnets: ["subnet-1"],
        securityGroups: ["sg-1"],
        kmsKey: "alias/team",
        networkIsolation: true,
        mirrorModel: true,
      },
      columns: {
        prompt: "question",
        completion: "answer",
        context: "passage",
        system: "rules",
        messages: "chat",
        text: "body",
      },
      split: { evalFraction: 0.5, maxEvalRows: 9, groupBy: "package" },
    });
    const fromFile = await load();
    await rm(join(folder, "moxi.config.json"));
    for (const loaded of [fromFile, await load({ env }), await load({ flags: examples })]) {
      const rows = explain(loaded).filter(({ key }) => key in examples);
      expect(Object.fromEntries(rows.map(({ key, value }) => [key, value]))).toEqual(examples);
      expect(new Set(rows.map(({ source }) => source)).size).toBe(1);
    }
  });

  test("names are the words of the key", () => {
    expect(environmentName("split.evalFraction")).toBe("MOXI_SPLIT_EVAL_FRACTION");
    expect(flagName("split.evalFraction")).toBe("--split-eval-fraction");
  });

  test("empty variables and undefined flags set nothing", async () => {
    await write(".env", "MOXI_EPOCHS=\nHF_TOKEN=hf_a\n");
    const loaded = await load({
      env: { MOXI_SEED: " ", HF_TOKEN: "" },
      flags: { epochs: undefined, split: { groupBy: undefined } },
    });
    expect(loaded.config).not.toHaveProperty("epochs");
    expect(loaded.config).not.toHaveProperty("seed");
    expect(loaded.config.split).not.toHaveProperty("groupBy");
    expect(loaded.secrets.huggingFaceToken).toBe("hf_a");
  });
});

describe("defaults", () => {
  test("the toy is trained whole, every other model with an adapter", async () => {
    expect((await load()).config).toMatchObject({ model: "moxi:tiny", method: "full" });
    const other = await load({ flags: { model: "org/name" } });
    expect(other.config).toMatchObject({
      method: "lora",
      lora: { rank: 16, alpha: 32, dropout: 0 },
    });
    const narrow = await load({ flags: { "lora.rank": 4, model: "org/name" } });
    expect(narrow.config.lora.alpha).toBe(8);
  });

  test("a role makes SageMaker the target, and the source says so", async () => {
    expect((await load()).config.target).toBe("local");
    await write(".env", "AWS_ARN_ROLE=arn:aws:iam::1:role/x");
    const loaded = await load();
    expect(loaded.config.target).toBe("sagemaker");
    expect(loaded.sources["target"]).toEqual({ source: ".env", where: ".env:1" });
    expect((await load({ flags: { target: "local" } })).config.target).toBe("local");
  });
});

describe("paths", () => {
  test("written ones start at the config's folder, typed ones where they were typed", async () => {
    const sub = join(folder, "sub");
    await mkdir(sub);
    await mkdir(join(folder, ".git"));
    await write("moxi.config.json", { dataset: "data.jsonl", model: "./base" });
    const written = await load({ cwd: sub });
    expect(written).toMatchObject({ folder, file: join(folder, "moxi.config.json") });
    expect(written.config).toMatchObject({ dataset: join(folder, "data.jsonl"), model: "./base" });
    expect(written.sources["dataset"]).toEqual({
      source: "config file",
      where: join("..", "moxi.config.json:2"),
    });
    const typed = await load({ cwd: sub, flags: { dataset: "d.jsonl", model: "./base" } });
    expect(typed.config).toMatchObject({ dataset: join(sub, "d.jsonl"), model: "./sub/base" });
    const variable = await load({ cwd: sub, env: { MOXI_MODEL: "../../elsewhere" } });
    expect(variable.config.model).toBe("../elsewhere");
  });

  test("~ is the home folder", async () => {
    await write("moxi.config.json", { dataset: "~/d.jsonl", model: "~/m" });
    expect((await load()).config).toMatchObject({ dataset: "/home/ada/d.jsonl", model: "~/m" });
  });

  test("a config above is found inside a repository, and left alone outside of one", async () => {
    const sub = join(folder, "a", "b");
    await mkdir(sub, { recursive: true });
    await write("moxi.config.json", { epochs: 9 });
    expect(await load({ cwd: sub })).toMatchObject({ file: null, folder: sub });
    await mkdir(join(folder, ".git"));
    expect((await load({ cwd: sub })).config.epochs).toBe(9);
    await mkdir(join(folder, "a", ".git"));
    expect((await load({ cwd: sub })).file).toBeNull();
  });
});

describe("the environment", () => {
  test("AWS and Hugging Face settings keep their names; the first of two wins and is told", async () => {
    await write(".env", "export HF_TOKEN=hf_first\nAWS_S3_BUCKET='b'\n");
    const loaded = await load({
      env: {
        AWS_REGION: "eu-west-1",
        AWS_DEFAULT_REGION: "us-east-1",
        HUGGINGFACE_ACCESS_TOKEN: "hf_second",
        HF_ENDPOINT: "http://127.0.0.1:1/hub/",
      },
    });
    expect(loaded.aws).toEqual({ region: "eu-west-1", bucket: "b" });
    expect(loaded.hubUrl).toBe("http://127.0.0.1:1/hub");
    expect(loaded.secrets.huggingFaceToken).toBe("hf_first");
    expect(loaded.sources["huggingFace.token"]).toEqual({ source: ".env", where: ".env:1" });
    expect(loaded.warnings).toEqual([
      "AWS_REGION and AWS_DEFAULT_REGION differ: AWS_REGION is used",
      "HF_TOKEN and HUGGINGFACE_ACCESS_TOKEN differ: HF_TOKEN is used",
    ]);
  });

  test("what is shown holds no secret", async () => {
    await write(".env", "HF_TOKEN=hf_secret");
    const loaded = await load();
    expect(explain(loaded)).toContainEqual({
      key: "huggingFace.token",
      value: "set",
      source: ".env",
      where: ".env:1",
    });
    expect(JSON.stringify([explain(loaded), loaded.config, loaded.sources])).not.toContain(
      "secret",
    );
  });

  test("is never changed; .env lies beneath it", async () => {
    await write(".env", "MOXI_EPOCHS=2\nHF_HOME=/from/file\nA=1");
    const env = Object.freeze({ HF_HOME: "/from/process" });
    const before = { ...process.env };
    const loaded = await load({ env });
    expect(loaded.env).toEqual({ HF_HOME: "/from/process", MOXI_EPOCHS: "2", A: "1" });
    expect(process.env).toEqual(before);
  });

  test("a misspelt variable of ours is told, other ones are not", async () => {
    const env = { MOXI_EPOCH: "3", MOXI_DEBUG: "1", MOXI_SOMETHING_ELSE: "x", OXI_EPOCH: "1" };
    expect((await load({ env })).warnings).toEqual([
      "MOXI_EPOCH is not used: did you mean MOXI_EPOCHS?",
    ]);
  });
});

test("settings that cannot have an effect are told", async () => {
  const flags = { revision: "v1", "lora.rank": 8 };
  expect((await load({ flags })).warnings).toEqual([
    "lora.rank is not used: the method is full",
    "revision is not used: moxi:tiny is not a model of the hub",
  ]);
  expect((await load({ flags: { ...flags, model: "org/name" } })).warnings).toEqual([]);
  expect((await load({ flags: { method: "lora" } })).warnings).toEqual([
    "moxi:tiny is untrained: an adapter on its random weights learns little",
  ]);
});

test("$schema is for editors", async () => {
  await write("moxi.config.json", { $schema: "./node_modules/moxi/schema/config.json", epochs: 2 });
  const loaded = await load();
  expect(loaded.config.epochs).toBe(2);
  expect(loaded.sources["epochs"]).toEqual({ source: "config file", where: "moxi.config.json:3" });
});
