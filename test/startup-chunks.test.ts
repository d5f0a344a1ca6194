import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { OutputChunk } from "rolldown";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bundle } from "../scripts/build.ts";

// Milliseconds differ from machine to machine; what a start has to load does not.

const folder = mkdtempSync(join(tmpdir(), "moxi-chunks-"));
let chunks: OutputChunk[];

beforeAll(async () => {
  chunks = await bundle(folder);
});
afterAll(() => rmSync(folder, { recursive: true }));

/** The chunks that are loaded with some chunk, itself included: all that it imports statically. */
function loadedWith(start: OutputChunk): OutputChunk[] {
  const loaded = new Set([start]);
  for (const chunk of loaded) {
    for (const file of chunk.imports) {
      const imported = chunks.find(({ fileName }) => fileName === file);
      if (imported !== undefined) loaded.add(imported);
    }
  }
  return [...loaded];
}

const main = () => chunks.find(({ fileName }) => fileName === "main.js")!;
const modules = (list: readonly OutputChunk[]) => list.flatMap(({ moduleIds }) => moduleIds);
const bytes = (list: readonly OutputChunk[]) =>
  list.reduce((sum, { code }) => sum + Buffer.byteLength(code), 0);
const heavy = /node_modules\/(?:@aws-sdk|@smithy|zod|yaml|jsonc-parser|@huggingface)\//;

test("the bundle holds the heavy packages at all", () => {
  expect(modules(chunks).some((id) => /node_modules\/zod\//.test(id))).toBe(true);
});

test("moxi --help loads less than 64 kB, and nothing heavy", () => {
  const loaded = loadedWith(main());
  expect(modules(loaded).filter((id) => heavy.test(id))).toEqual([]);
  expect(modules(loaded).filter((id) => id.includes(".run.ts"))).toEqual([]);
  expect(bytes(loaded)).toBeLessThan(64_000);
});

test.each(["runs", "show", "watch", "logs", "stop"])("moxi %s loads nothing heavy", (name) => {
  const command = chunks.find(({ moduleIds }) =>
    moduleIds.some((id) => id.endsWith(`/src/cli/commands/${name}.run.ts`)),
  );
  expect(modules(loadedWith(command!)).filter((id) => heavy.test(id))).toEqual([]);
});

test("rows that were checked are trusted by the program that checked them: its chunk's name has its hash", () => {
  const chunk = chunks.find(({ moduleIds }) =>
    moduleIds.some((id) => id.endsWith("/src/api/prepare-rows.ts")),
  )!;
  expect(chunk.fileName).toMatch(/-[\w-]{8}\.js$/);
  // The hash is of the names of what it imports too, and so of theirs.
  const reached = new Set([chunk.fileName]);
  for (const file of reached) {
    const { imports = [], dynamicImports = [] } =
      chunks.find(({ fileName }) => fileName === file) ?? {}; // undefined: Node's own
    for (const imported of [...imports, ...dynamicImports]) reached.add(imported);
  }
  const rules = chunks.filter(({ moduleIds }) =>
    moduleIds.some((id) => id.includes("/src/dataset/rules/") || id.includes("/src/tokens/")),
  );
  expect(rules.map(({ fileName }) => fileName).filter((name) => !reached.has(name))).toEqual([
    "dataset-worker.js",
  ]);
});

test("what a run on AWS loads brings no part of Node that only other services need", () => {
  const aws = chunks.filter(({ code }) => code.includes("CreateTrainingJob"));
  expect(aws.length).toBeGreaterThan(0);
  for (const { code } of aws) expect(code).not.toContain("node:http2");
});

const holding = (path: string) =>
  chunks.find(({ moduleIds }) => moduleIds.some((id) => id.endsWith(path)))!;

test.each(["src/config/load.ts", "src/dataset/check.ts", "src/targets/local/index.ts"])(
  "%s, which a run on this machine needs, brings nothing of AWS",
  (path) => {
    const loaded = modules(loadedWith(holding(`/${path}`)));
    expect(loaded.filter((id) => /@aws-sdk|@smithy|\/src\/aws\//.test(id))).toEqual([]);
  },
);

test("a run whose rows were checked before loads no reader of rows, and on AWS no reader of logs", () => {
  const paths = ["cli/commands/train.run.ts", "dataset/memory.ts", "targets/sagemaker/index.ts"];
  const loaded = paths.flatMap((path) => modules(loadedWith(holding(`/src/${path}`))));
  const late = /hyparquet|csv-parse|client-(?:ssm|cloudwatch-logs)|modern-tar|\/ignore\//;
  expect(loaded.filter((id) => late.test(id))).toEqual([]);
  expect(loaded.some((id) => id.includes("client-sagemaker"))).toBe(true);
});

test("what every start imports of Node is taken without the rest of its module", () => {
  for (const { code } of chunks) expect(code).not.toMatch(/\bfrom\s*["'`]node:/);
});

test("no chunk has a character that makes Node keep it with two bytes a character", () => {
  for (const name of readdirSync(folder)) {
    const bytes = readFileSync(join(folder, name));
    expect([name, bytes.findIndex((byte) => byte > 0x7f)]).toEqual([name, -1]);
  }
});

test.each(["transfer-worker.js", "dataset-worker.js"])(
  "%s loads neither the program, which would start once more in it, nor anything heavy",
  (name) => {
    const worker = chunks.find(({ fileName }) => fileName === name)!;
    const loaded = loadedWith(worker);
    expect(modules(loaded).filter((id) => id.includes("/src/cli/"))).toEqual([]);
    expect(modules(loaded).filter((id) => heavy.test(id))).toEqual([]);
  },
);
