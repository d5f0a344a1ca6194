import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { silentHost } from "../base/host.ts";
import { findTokenizer } from "./find-tokenizer.ts";

const sha = "0123456789abcdef0123456789abcdef01234567";
const tokenizer = JSON.stringify({
  added_tokens: [{ id: 3, content: "<end>", special: true, normalized: false }],
  normalizer: null,
  pre_tokenizer: { type: "WhitespaceSplit" },
  post_processor: null,
  decoder: null,
  model: {
    type: "WordPiece",
    vocab: { "[UNK]": 0, hello: 1, world: 2 },
    unk_token: "[UNK]",
    continuing_subword_prefix: "##",
  },
});
const files: Record<string, string> = {
  "tokenizer.json": tokenizer,
  "tokenizer_config.json": '{ "eos_token": "<end>", "tokenizer_class": "PreTrainedTokenizerFast" }',
  "config.json": '{ "architectures": ["LlamaForCausalLM"], "max_position_embeddings": 64 }',
};

let home: string;
let server: Server;
let hubUrl: string;
let asked: string[];
/** Whether the hub tells how long its files are, as every hub does. */
let tellsSizes: boolean;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "moxi-tokenizer-"));
  asked = [];
  tellsSizes = true;
  server = createServer((request, response) => {
    const url = request.url!.split("?")[0]!;
    asked.push(url);
    if (url.startsWith("/api/")) {
      const siblings = [...Object.keys(files), "model.safetensors"].map((rfilename) => ({
        rfilename,
      }));
      response.setHeader("content-type", "application/json");
      return response.end(JSON.stringify({ id: "org/name", sha, gated: false, siblings }));
    }
    const content = files[url.slice(url.lastIndexOf("/") + 1)];
    if (content === undefined) {
      return response.writeHead(404, { "x-error-code": "EntryNotFound" }).end();
    }
    const range = /^bytes=0-(\d+)$/.exec(request.headers.range ?? "");
    response.setHeader("etag", '"1"');
    if (!tellsSizes) return response.end(content);
    response.setHeader("content-length", content.length);
    if (range)
      response.writeHead(206, {
        "content-range": `bytes 0-0/${content.length}`,
        "content-length": 1,
      });
    return response.end(request.method === "HEAD" ? "" : range ? content.slice(0, 1) : content);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  hubUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((done) => server.close(done));
  await rm(home, { recursive: true });
});

const find = (id: string) =>
  findTokenizer({ id, baseFolder: home, hubUrl, fetch, home, env: {}, host: silentHost });

test("the toy has none before it is trained", async () => {
  expect(await find("moxi:tiny")).toBeNull();
});

test("a folder needs no weights, and the hub is not asked", async () => {
  await mkdir(join(home, "base"));
  for (const [name, content] of Object.entries(files))
    await writeFile(join(home, "base", name), content);
  const found = (await find("./base"))!;
  expect(found.encode("hello world <end>")).toEqual([1, 2, 3]);
  expect(found.contextLength).toBe(64);
  expect([...found.stopIds]).toEqual([3]);
  expect(found.estimates).toEqual([]);
  expect(asked).toEqual([]);
});

test("a model of the hub is loaded once, by its commit", async () => {
  const found = (await find("org/name"))!;
  expect(found.encode("hello nobody<end>")).toEqual([1, 0, 3]);
  expect(asked).toContain(`/org/name/resolve/${sha}/tokenizer.json`);
  const before = asked.length;
  expect((await find("org/name"))!.eosId).toBe(3);
  expect(asked.slice(before).filter((url) => url.endsWith("tokenizer.json"))).toEqual([]);
});

test.each([
  ["no JSON", "{", "cannot be read as JSON"],
  ["no tokenizer", "{}", "cannot be used"],
  [
    "a part that is not known",
    tokenizer.replace("WhitespaceSplit", "Telepathy\\u001b[31m"),
    "Telepathy\\u001b",
  ],
])("a folder with %s", async (_name, content, message) => {
  await writeFile(join(home, "tokenizer.json"), content);
  await expect(find(".")).rejects.toMatchObject({
    code: "E_MODEL_UNSUPPORTED",
    message: expect.stringContaining(message) as string,
  });
});

test.each([
  [
    { normalizer: { type: "Precompiled", precompiled_charsmap: "" } },
    "its normalizer Precompiled is only done alike here",
  ],
  [
    { pre_tokenizer: { type: "Digits", individual_digits: true } },
    "its pre-tokenizer Digits is only done alike here",
  ],
])("what cannot be promised is told", async (change, reason) => {
  await writeFile(
    join(home, "tokenizer.json"),
    JSON.stringify({ ...JSON.parse(tokenizer), ...change }),
  );
  expect((await find("."))!.estimates).toEqual([reason]);
});

test("what answers and is no hub is told so, and nobody takes it for a bug of ours", async () => {
  tellsSizes = false;
  await expect(find("org/name")).rejects.toMatchObject({
    code: "E_NETWORK",
    message: `${hubUrl} does not answer as a model hub does`,
  });
});
