import { randomBytes } from "node:crypto";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { silentHost } from "../base/host.ts";
import { startHub } from "../../test/hub.ts";
import type { Hub, HubOptions } from "../../test/hub.ts";
import { downloadModel } from "./download.ts";
import { neededFiles } from "./folder.ts";

const token = "hf_SECRETSECRET";
const config = Buffer.from('{"architectures":["LlamaForCausalLM"]}');
const chunkBytes = 32 << 10;
const weights = randomBytes(70 << 10); // three requests
const files = {
  "config.json": config,
  "model.safetensors": weights,
  "pytorch_model.bin": Buffer.from("the same in another format"),
  "tokenizer.json": Buffer.from("{}"),
  "README.md": Buffer.from("# no part of the model"),
};

let home: string;
let hub: Hub | undefined;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "moxi-download-"));
});
afterEach(async () => {
  await hub?.close();
  await rm(home, { recursive: true });
});

async function download(options: Partial<HubOptions> = {}, given: string | null = token) {
  hub ??= await startHub({
    id: "org/name",
    files,
    token,
    large: ["model.safetensors"],
    ...options,
  });
  return downloadModel({
    id: "org/name",
    revision: hub.sha,
    baseFolder: home,
    token: given ?? undefined,
    chunkBytes,
    hubUrl: hub.url,
    fetch,
    home,
    env: {},
    cache: join(home, "moxi"),
    host: silentHost,
    clock: { sleep: () => Promise.resolve() },
  });
}
afterEach(() => {
  hub = undefined;
});

test("what loading reads is fetched once, byte for byte, and nothing else", async () => {
  const folder = await download();
  const names = (await readdir(folder)).filter((name) => !name.startsWith("."));
  expect(names.toSorted()).toEqual(["config.json", "model.safetensors", "tokenizer.json"]);
  expect((await readFile(join(folder, "model.safetensors"))).equals(weights)).toBe(true);
  expect(hub!.asked()).toHaveLength(5);
  expect(await download()).toBe(folder);
  expect(hub!.asked()).toEqual([]);
});

test("two at once fetch it once", async () => {
  const [one, two] = await Promise.all([download(), download()]);
  expect(one).toBe(two);
});

test("what was broken off goes on where it stopped", async () => {
  let broken = false;
  const spoil = (path: string) => {
    if (
      path !== "model.safetensors" ||
      broken ||
      !hub!
        .asked()
        .at(-1)!
        .includes(`${64 << 10}-`)
    ) {
      return undefined;
    }
    broken = true;
    return "break" as const;
  };
  await expect(download({ spoil })).rejects.toMatchObject({ code: "E_NETWORK", exitCode: 8 });
  hub!.asked();
  const folder = await download();
  expect(hub!.asked()).toEqual([
    `model.safetensors ${64 << 10}-${weights.length - 1}`,
    "tokenizer.json 0-1",
  ]);
  expect((await readFile(join(folder, "model.safetensors"))).equals(weights)).toBe(true);
});

test.each(["model.safetensors", "config.json"])(
  "a changed %s is refused and not kept",
  async (name) => {
    let spoilt = false;
    const spoil = (path: string) => {
      if (path !== name || spoilt) return undefined;
      spoilt = true;
      return "change" as const;
    };
    await expect(download({ spoil })).rejects.toMatchObject({
      code: "E_NETWORK",
      message: `${name} of org/name does not have the hash that the hub tells`,
    });
    const folder = await download();
    const expected = files[name as keyof typeof files];
    expect((await readFile(join(folder, name))).equals(expected)).toBe(true);
  },
);

test("without the right token a gated model stays where it is", async () => {
  await expect(download({}, null)).rejects.toMatchObject({ code: "E_MODEL_GATED" });
  await expect(download({}, "hf_other")).rejects.toMatchObject({ code: "E_MODEL_GATED" });
});

test("the token is for the hub alone, not for the servers that hold large files", async () => {
  const heard: (string | undefined)[] = [];
  const other = createServer((request, response) => {
    heard.push(request.headers.authorization);
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
    const [from, to] = range === null ? [0, 1] : [Number(range[1]), Number(range[2])];
    const total = {
      "content-range": `bytes ${from}-${to}/2`,
      etag: '"e"',
      "x-cache": "Hit from cloudfront",
    };
    response.writeHead(206, total);
    response.end("{}".slice(from, to + 1));
  });
  await new Promise<void>((done) => other.listen(0, "127.0.0.1", done));
  const address = `http://127.0.0.1:${(other.address() as AddressInfo).port}`;
  const moved = createServer((request, response) => {
    const isTree = request.url!.startsWith("/api/");
    if (isTree)
      return response.end(JSON.stringify([{ type: "file", path: "tokenizer.json", size: 2 }]));
    expect(request.headers.authorization).toBe(`Bearer ${token}`);
    response.writeHead(302, { location: `${address}/signed` });
    return response.end();
  });
  await new Promise<void>((done) => moved.listen(0, "127.0.0.1", done));
  const url = `http://127.0.0.1:${(moved.address() as AddressInfo).port}`;
  hub = { url, sha: "f".repeat(40), asked: () => [], tokens: new Set(), close: async () => {} };
  await download();
  expect(heard.length).toBeGreaterThan(1);
  expect(new Set(heard)).toEqual(new Set([undefined]));
  for (const server of [other, moved]) {
    server.closeAllConnections();
    server.close();
  }
});

test("of weights in two formats, those that are loaded", () => {
  const index = ["model.safetensors.index.json", "model-00001-of-00002.safetensors"];
  expect(
    neededFiles([
      ...index,
      "pytorch_model.bin.index.json",
      "pytorch_model-00001-of-00002.bin",
      "consolidated.safetensors",
      "original/params.json",
      "tokenizer.model",
      ".gitattributes",
    ]),
  ).toEqual([...index, "tokenizer.model"].toSorted());
  expect(neededFiles(["config.json", "pytorch_model.bin"])).toEqual([
    "config.json",
    "pytorch_model.bin",
  ]);
});
