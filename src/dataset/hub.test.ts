import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { silentHost } from "../base/host.ts";
import { checkDataset } from "./check.ts";
import { fetchHubDataset, hubDataset } from "./hub.ts";

const commit = "0123456789abcdef0123456789abcdef01234567";
const lines = Array.from(
  { length: 60 },
  (_, i) => `{"prompt":"What is ${i}?","completion":"It is ${i}."}`,
).join("\n");
let files: Record<string, string>;
const asked: string[] = [];
let server: Server;
let hubUrl: string;
const folder = mkdtempSync(join(tmpdir(), "moxi-hub-data-"));

beforeAll(async () => {
  server = createServer((request, response) => {
    const url = decodeURIComponent(new URL(request.url!, "http://x").pathname);
    asked.push(url);
    const json = (value: unknown, status = 200) => {
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
    };
    if (request.headers.authorization === "Bearer hf_refused") return json({ error: "no" }, 403);
    if (/^\/api\/datasets\/acme\/faq(?:\/revision\/(?:v1|HEAD))?$/.test(url))
      return json({ id: "acme/faq", _id: "1", sha: commit });
    if (url.startsWith(`/api/datasets/acme/faq/tree/${commit}`)) {
      return json(
        Object.entries(files).map(([path, text]) => ({
          type: "file",
          path,
          size: text.length,
          oid: "0",
        })),
      );
    }
    const path = url.split(`/datasets/acme/faq/resolve/${commit}/`)[1];
    const text = path === undefined ? undefined : files[path];
    if (text === undefined) return json({ error: "nothing here" }, 404);
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
    const [from, to] = [
      Number(range?.[1] ?? 0),
      Math.min(text.length - 1, Number(range?.[2] || Infinity)),
    ];
    const part = text.slice(from, to + 1);
    response.writeHead(range === null ? 200 : 206, {
      "content-length": part.length,
      etag: '"0"',
      ...(range === null ? {} : { "content-range": `bytes ${from}-${to}/${text.length}` }),
    });
    response.end(request.method === "HEAD" ? undefined : part);
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  hubUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.close();
  rmSync(folder, { recursive: true });
});
beforeEach(() => {
  files = {
    "README.md": "# FAQ",
    "data/train.jsonl": lines,
    "data/more.csv": "prompt,completion\na,b\n",
  };
  asked.length = 0;
});

const get = (text: string, token?: string) =>
  fetchHubDataset(hubDataset(text)!, { hubUrl, token, fetch, folder, host: silentHost });

test("reads addresses", () => {
  expect(hubDataset("hf://datasets/acme/faq")).toEqual({ name: "acme/faq" });
  expect(hubDataset("hf://datasets/acme/faq@v1/data/train.jsonl")).toEqual({
    name: "acme/faq",
    revision: "v1",
    path: "data/train.jsonl",
  });
  for (const text of ["hf://models/a/b", "acme/faq", "hf://datasets/acme"])
    expect(hubDataset(text)).toBeUndefined();
});

test("fetches one file at one commit, once, and the check reads it", async () => {
  const path = await get("hf://datasets/acme/faq@v1/data/train.jsonl");
  expect(path).toBe(join(folder, `acme--faq@${commit.slice(0, 12)}`, "data/train.jsonl"));
  expect(readFileSync(path, "utf8")).toBe(lines);
  expect((await checkDataset({ path, cwd: folder })).rows).toEqual({ total: 60, usable: 60 });
  asked.length = 0;
  await get("hf://datasets/acme/faq@v1/data/train.jsonl");
  expect(asked.filter((url) => url.includes("/resolve/"))).toEqual([]);
});

test("fetches every file of rows, and nothing else", async () => {
  const path = await get("hf://datasets/acme/faq");
  expect(readdirSync(join(path, "data")).sort()).toEqual(["more.csv", "train.jsonl"]);
  expect(readdirSync(path)).toEqual(["data"]);
});

test("a name that leads elsewhere is refused", async () => {
  files["../../evil.jsonl"] = "{}";
  await expect(get("hf://datasets/acme/faq")).rejects.toMatchObject({ code: "E_NETWORK" });
  expect(readdirSync(folder)).not.toContain("evil.jsonl");
});

test.each([
  ["hf://datasets/acme/none", undefined, "E_DATASET_MISSING"],
  ["hf://datasets/acme/faq/other", undefined, "E_DATASET_MISSING"],
  ["hf://datasets/acme/faq", "hf_refused", "E_MODEL_GATED"],
])("%s with %s: %s", async (text, token, code) => {
  await expect(get(text, token)).rejects.toMatchObject({ code });
});
