import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { plan } from "../../test/fixtures/story.ts";
import { resolveAdapter } from "./adapter.ts";

let folder: string;
beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), "moxi-adapter-")), "model");
  await mkdir(folder);
  await writeFile(join(folder, "adapter_config.json"), "{}");
  await writeFile(join(folder, "adapter_model.safetensors"), "weights");
  await writeFile(join(folder, "README.md"), "a card");
});
afterEach(() => rm(join(folder, ".."), { recursive: true }));

const base = { id: "org/name", revision: "a".repeat(40), fingerprint: null };
const resolve = (model = base, was = base, method: "lora" | "full" = "lora") => {
  const recipe = { ...plan({ method }).recipe, model: was };
  return resolveAdapter({ run: "moxi-a", folder, recipe, model });
};

test("an adapter is its two files", async () => {
  const found = await resolve();
  expect(found).toMatchObject({ run: "moxi-a", folder, lora: { rank: 16, alpha: 32 } });
  await writeFile(join(folder, "README.md"), "another card");
  expect((await resolve()).fingerprint).toBe(found.fingerprint);
  await writeFile(join(folder, "adapter_model.safetensors"), "weightz");
  expect((await resolve()).fingerprint).not.toBe(found.fingerprint);
});

test("a run without one is told", async () => {
  await rm(join(folder, "adapter_model.safetensors"));
  await expect(resolve()).rejects.toMatchObject({
    code: "E_RUN_STATE",
    message: "moxi-a has left no adapter",
  });
  await expect(resolve(base, base, "full")).rejects.toThrow(
    "moxi-a trained every weight: it has no adapter",
  );
});

test("it fits its own base model only", async () => {
  const later = { ...base, revision: "b".repeat(40) };
  await expect(resolve(later)).rejects.toMatchObject({
    code: "E_CONFIG_INVALID",
    message: "the adapter of moxi-a was trained on org/name at aaaaaaaaaaaa",
  });
  await expect(resolve({ ...base, id: "org/other" })).rejects.toThrow("was trained on org/name");
  const was = { id: "./base", revision: null, fingerprint: "c".repeat(64) };
  await expect(
    resolve({ ...was, fingerprint: "d".repeat(64) } as never, was as never),
  ).rejects.toThrow("was trained on other files of ./base");
  await expect(resolve({ ...was, id: "/moved" } as never, was as never)).rejects.toThrow(
    "was trained on ./base",
  );
  const toy = { id: "moxi:tiny", revision: null, fingerprint: null };
  await expect(resolve(toy as never, toy as never)).rejects.toThrow("is made anew for every run");
});
