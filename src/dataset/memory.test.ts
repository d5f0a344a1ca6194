import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { recallDataset, watchDataset } from "./memory.ts";
import type { Circumstances } from "./memory.ts";
import { prepareDataset } from "./prepare.ts";

let folder: string;
let circumstances: Circumstances;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "moxi-memory-"));
  circumstances = {
    path: "rows.jsonl",
    cwd: folder,
    split: { evalFraction: 0.1, maxEvalRows: 500 },
    outFolder: join(folder, "out"),
    program: "one",
    besides: { overlong: "drop" },
  };
  writeFileSync(join(folder, "rows.jsonl"), rows("a"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const rows = (letter: string) =>
  Array.from({ length: 60 }, (_, index) => `{"prompt":"${index}","completion":"${letter}"}\n`).join(
    "",
  );
/** By then every file here has been left alone for long. */
const later = () => new Date(Date.now() + 60_000);

async function prepare(at = later(), while_ = () => {}) {
  const remember = await watchDataset(circumstances);
  const dataset = await prepareDataset(circumstances);
  while_();
  await remember({ dataset, more: { tokens: 7 } }, at);
  return dataset;
}

test("what was prepared before is recalled, with what was kept beside it", async () => {
  expect(await recallDataset(circumstances)).toBeUndefined();
  const dataset = await prepare();
  expect(await recallDataset(circumstances)).toMatchObject({ dataset, more: { tokens: 7 } });
});

test.each<[string, (entry: Record<string, unknown>) => void]>([
  ["a dataset without its files", (entry) => (entry["dataset"] = {})],
  ["no dataset", (entry) => delete entry["dataset"]],
  ["other numbers", (entry) => Object.assign(entry["dataset"] as object, { trainRows: 7 })],
])("an entry that somebody has edited is none: %s", async (_, edit) => {
  await prepare();
  const file = join(folder, "out", "prepared.json");
  const entries = JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>[];
  edit(entries[0]!);
  writeFileSync(file, JSON.stringify(entries));
  expect(await recallDataset(circumstances)).toBeUndefined();
});

test.each<[string, () => void]>([
  [
    "other rows of the same size, with the time set back",
    () => {
      const file = join(folder, "rows.jsonl");
      const { atime, mtime } = statSync(file);
      writeFileSync(file, rows("b"));
      utimesSync(file, atime, mtime);
    },
  ],
  ["a canonical file that was changed", () => appendTo("train.jsonl")],
  ["a report that was changed", () => appendTo("check.json")],
  ["another setting", () => (circumstances = { ...circumstances, levels: { refusal: "error" } })],
  [
    "another split",
    () => (circumstances = { ...circumstances, split: { evalFraction: 0.2, maxEvalRows: 500 } }),
  ],
  ["another program", () => (circumstances = { ...circumstances, program: "two" })],
  [
    "anything else that it depends on",
    () => (circumstances = { ...circumstances, besides: { overlong: "error" } }),
  ],
  ["a damaged memory", () => writeFileSync(join(folder, "out", "prepared.json"), "[{")],
])("nothing is recalled after %s", async (_what, change) => {
  dataset = await prepare();
  change();
  expect(await recallDataset(circumstances)).toBeUndefined();
});
let dataset: Awaited<ReturnType<typeof prepare>>;
const appendTo = (name: string) =>
  appendFileSync(join(folder, "out", dataset.fingerprint, name), "\n");

test("of a folder each file counts, and those that are passed over", async () => {
  mkdirSync(join(folder, "many"));
  writeFileSync(join(folder, "many", "a.jsonl"), rows("a"));
  circumstances = { ...circumstances, path: "many" };
  for (const name of ["b.jsonl", "c.txt"]) {
    await prepare();
    expect(await recallDataset(circumstances)).toBeDefined();
    writeFileSync(join(folder, "many", name), rows(name));
    expect(await recallDataset(circumstances)).toBeUndefined();
  }
});

test("a file that was changed just now, or meanwhile, is not relied on", async () => {
  await prepare(new Date(statSync(join(folder, "rows.jsonl")).ctimeMs + 1000));
  expect(await recallDataset(circumstances)).toBeUndefined();
  await prepare(later(), () => writeFileSync(join(folder, "rows.jsonl"), rows("b")));
  expect(await recallDataset(circumstances)).toBeUndefined();
});
