import { appendFile, mkdir, mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { resolveModel } from "./resolve.ts";

let home: string;
let folder: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "moxi-model-"));
  folder = join(home, "base");
  await mkdir(folder);
  await write("config.json", '{ "architectures": ["LlamaForCausalLM"] }');
  await write("model.safetensors", "weights");
  await write("tokenizer.json", "{}");
});
afterEach(() => rm(home, { recursive: true }));

const write = (name: string, text: string) => writeFile(join(folder, name), text);
const noHub: typeof fetch = () => Promise.reject(new Error("the hub was asked"));
const resolve = (id: string) =>
  resolveModel({ id, baseFolder: home, hubUrl: "http://hub", fetch: noHub, home, env: {} });

test("the toy needs nothing", async () => {
  expect(await resolve("moxi:tiny")).toEqual({
    id: "moxi:tiny",
    kind: "toy",
    revision: null,
    fingerprint: null,
    folder: null,
    gated: false,
    warnings: [],
  });
});

describe("a folder", () => {
  test.each(["./base", "~/base", "base"])("written as %s", async (id) => {
    const model = await resolve(id);
    expect(model).toMatchObject({ id, kind: "folder", folder, revision: null });
    expect(model.fingerprint).toMatch(/^[0-9a-f]{64}$/);
    expect(model.warnings).toEqual(
      id === "base" ? [`base is read from the folder ${folder}, not from the hub`] : [],
    );
  });

  test("is fingerprinted by what loading reads: names and content, not place or notes", async () => {
    const fingerprint = async (id = "./base") => (await resolve(id)).fingerprint;
    const first = await fingerprint();
    await write("README.md", "notes");
    await write(".hidden.json", "{}");
    await mkdir(join(folder, "runs.json"));
    await symlink(folder, join(home, "link"));
    expect(await fingerprint("./link")).toBe(first);
    await appendFile(join(folder, "model.safetensors"), "!");
    const second = await fingerprint();
    expect(second).not.toBe(first);
    await write("chat_template.jinja", "x");
    const third = await fingerprint();
    expect(third).not.toBe(second);
    await rename(join(folder, "chat_template.jinja"), join(folder, "other.jinja"));
    expect(await fingerprint()).not.toBe(third);
  });

  test.each(["config.json", "model.safetensors", "tokenizer.json"])("without %s", async (name) => {
    await rm(join(folder, name));
    const error = { code: "E_MODEL_UNSUPPORTED", exitCode: 2 };
    await expect(resolve("./base")).rejects.toMatchObject({
      ...error,
      message: expect.stringContaining(name) as string,
    });
  });

  test("with a part of its weights missing", async () => {
    await rename(join(folder, "model.safetensors"), join(folder, "model-1-of-2.safetensors"));
    const map = { a: "model-1-of-2.safetensors", b: "model-2-of-2.safetensors" };
    await write("model.safetensors.index.json", JSON.stringify({ weight_map: map }));
    await expect(resolve("./base")).rejects.toThrow("./base lacks model-2-of-2.safetensors");
    await write("model-2-of-2.safetensors", "weights");
    expect((await resolve("./base")).kind).toBe("folder");
  });

  test("with a config that is no JSON, or no causal model's", async () => {
    await write("config.json", "{");
    await expect(resolve("./base")).rejects.toMatchObject({
      code: "E_MODEL_UNSUPPORTED",
      place: { file: join(folder, "config.json") },
    });
    await write("config.json", '{ "architectures": ["BertForMaskedLM\\u001b[31m"] }');
    await expect(resolve("./base")).rejects.toThrow("(BertForMaskedLM\\u001b[31m)");
  });
});

test("a folder that only has the name of a model does not hide it", async () => {
  await rm(join(folder, "config.json"));
  await expect(resolve("base")).rejects.toMatchObject({ code: "E_NETWORK" });
});

test.each(["./gone", "../gone", "/gone/x", "~/gone"])("%s is not there", async (id) => {
  await expect(resolve(id)).rejects.toMatchObject({ code: "E_MODEL_NOT_FOUND", exitCode: 2 });
});

test("a file is no model", async () => {
  await expect(resolve("./base/config.json")).rejects.toMatchObject({
    code: "E_MODEL_UNSUPPORTED",
  });
});
