import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { MoxiError } from "../base/errors.ts";
import { loadConfig } from "./load.ts";
import type { LoadOptions } from "./load.ts";

let folder: string;
beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), "moxi-config-"))));
afterEach(() => rm(folder, { recursive: true }));

const write = (name: string, content: string | object) =>
  writeFile(
    join(folder, name),
    typeof content === "string" ? content : JSON.stringify(content, null, 2),
  );

async function failure(options: Partial<LoadOptions> = {}): Promise<MoxiError> {
  const error: unknown = await loadConfig({
    cwd: folder,
    env: {},
    home: "/home/ada",
    libraryUrl: "unused:",
    ...options,
  }).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof MoxiError)) throw new Error("it should have been refused");
  return error;
}

test("two config files", async () => {
  await write("moxi.config.json", {});
  await write("moxi.config.ts", "export default {};");
  const error = await failure();
  expect(error).toMatchObject({ code: "E_CONFIG_AMBIGUOUS", exitCode: 2 });
  expect(error.message).toContain("moxi.config.ts and moxi.config.json");
});

test("a wrong value: path, place, value and what is allowed", async () => {
  await write("moxi.config.json", '{\n  "split": {\n    "evalFraction": "half"\n  }\n}');
  const error = await failure();
  expect(error).toMatchObject({
    code: "E_CONFIG_INVALID",
    message: 'split.evalFraction must be a number from 0 to 0.5, not "half"',
    hint: "correct moxi.config.json:3",
    place: {
      file: join(folder, "moxi.config.json"),
      line: 3,
      column: 5,
      field: "split.evalFraction",
    },
  });
});

test.each([
  [{ epochs: 0 }, "epochs must be a number above 0, not 0"],
  [{ epochs: null }, "epochs must be a number above 0, not null"],
  [{ seed: 1.5 }, "seed must be a whole number from 0 up, not 1.5"],
  [{ dataset: "" }, 'dataset must be a text that is not empty, not ""'],
  [{ method: "dora" }, 'method must be one of lora, full, qlora, not "dora"'],
  [{ overlong: "cut" }, 'overlong must be one of drop, truncate, error, not "cut"'],
  [{ prompts: "a" }, 'prompts must be a list of texts, such as ["a", "b"], not "a"'],
  [{ gradientCheckpointing: 1 }, "gradientCheckpointing must be true or false, not 1"],
  [{ lora: 8 }, "lora must be an object, not 8"],
  [{ epoch: 3 }, 'unknown setting "epoch"; did you mean "epochs"?'],
  [{ learning_rate: 3 }, 'unknown setting "learning_rate"; did you mean "learningRate"?'],
  [{ lora: { rnak: 8 } }, 'unknown setting "lora.rnak"; did you mean "lora.rank"?'],
  [{ evalFraction: 0.1 }, 'unknown setting "evalFraction"; did you mean "split.evalFraction"?'],
  [{ zebra: "hf_secret" }, 'unknown setting "zebra"'],
  [
    { packageIndex: "corp" },
    'packageIndex must be an http(s) address without a password, not "corp"',
  ],
  [
    { packageIndex: "https://ada:p@ss@index.example/simple" },
    'packageIndex must be an http(s) address without a password, not "https://***@index.example/simple"',
  ],
])("%j", async (config, message) => {
  await write("moxi.config.json", config);
  expect((await failure()).message).toBe(message);
});

test("a name that every object has is not a setting", async () => {
  await write("moxi.config.json", '{"__proto__": {"epochs": 1}, "constructor": 1}');
  expect((await failure()).details).toEqual([
    'moxi.config.json:1: unknown setting "__proto__"',
    'moxi.config.json:1: unknown setting "constructor"',
  ]);
});

test("all problems are told at once, each with its place, short and printable", async () => {
  await write("moxi.config.json", { epochs: "three", model: ["\u001b[31m", "x".repeat(200)] });
  const error = await failure({ env: { MOXI_SEED: "x" }, flags: { warmup: "2", lorra: 1 } });
  expect(error.message).toBe("5 settings are wrong");
  expect(error.details).toHaveLength(5);
  expect(error.details[0]).toBe('moxi.config.json:2: epochs must be a number above 0, not "three"');
  expect(error.details[1]).toMatch(/^moxi.config.json:3: model must be .*, not \[ '\\\\?x1B.*…$/);
  expect(error.details.slice(2)).toEqual([
    'MOXI_SEED: seed must be a whole number from 0 up, not "x"',
    '--warmup: warmup must be a number from 0 to 1, not "2"',
    '--lorra: unknown setting "lorra"; did you mean "lora"?',
  ]);
});

test.each([
  ['{\n  "epochs": tree\n}', 2, 13],
  ['{\n  "epochs": 3,\n}', 3, 1],
  ['{ "epochs": 3', 1, 14],
  ["// why\n{}", 1, 1],
  ["", 1, 1],
  ['{"a": 1}}', 1, 9],
])("JSON that is none: %j", async (text, line, column) => {
  await write("moxi.config.json", text);
  const error = await failure();
  expect(error.code).toBe("E_CONFIG_UNREADABLE");
  expect(error.place).toEqual({ file: join(folder, "moxi.config.json"), line, column });
});

test("a byte order mark is not an error", async () => {
  await write("moxi.config.json", '\ufeff{ "epochs": 0 }');
  expect((await failure()).message).toContain("epochs");
});

test.each([
  ['import { n } from "./n.mjs";\nconst epochs = n;\nexport default {\n  epochs,\n};', 4],
  ["const epochs = 0;\nexport default { seed: 1, epochs };", 2],
  ["export default {\n  // epochs: 1\n  epochs: 0,\n};", 3],
  // Two lines look like it, of which one is a type: none is told.
  ["/** @type {{\n epochs: number }} */\nconst epochs = 0;\nexport default { epochs };", undefined],
])("the line of a setting in a program: %j", async (program, line) => {
  await write("n.mjs", "export const n = 0;");
  await write("moxi.config.mjs", program);
  const { message, place } = await failure();
  expect(message).toBe("epochs must be a number above 0, not 0");
  expect(place?.line).toBe(line);
});

test("a link that leads nowhere is a config that cannot be read, not a missing one", async () => {
  await symlink("nowhere", join(folder, "moxi.config.ts"));
  expect(await failure()).toMatchObject({ code: "E_CONFIG_UNREADABLE" });
});

test("a config that is no object, or no file", async () => {
  await write("moxi.config.json", "[1]");
  expect((await failure()).message).toBe("moxi.config.json holds a list, not an object");
  await rm(join(folder, "moxi.config.json"));
  await mkdir(join(folder, "moxi.config.json"));
  expect(await failure()).toMatchObject({ code: "E_CONFIG_UNREADABLE" });
  await rm(join(folder, "moxi.config.json"), { recursive: true });
  await mkdir(join(folder, ".env"));
  expect(await failure()).toMatchObject({ code: "E_CONFIG_UNREADABLE" });
});

test("a hub's address that is none, without showing a password", async () => {
  const error = await failure({ env: { HF_ENDPOINT: "https://ada:secret@hub.example" } });
  expect(error).toMatchObject({ code: "E_CONFIG_INVALID", place: { field: "HF_ENDPOINT" } });
  expect(JSON.stringify(error)).not.toContain("secret");
  expect((await failure({ env: { HF_ENDPOINT: "hub" } })).hint).toContain("HF_ENDPOINT");
});
