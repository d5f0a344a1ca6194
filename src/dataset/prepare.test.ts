import { createHash } from "node:crypto";
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, expect, test } from "vitest";
import { isMoxiError } from "../base/errors.ts";
import type { Notice } from "../base/host.ts";
import type { CanonicalRow } from "./canonical.ts";
import { prepareDataset } from "./prepare.ts";
import type { PrepareOptions } from "./prepare.ts";

const folder = mkdtempSync(join(tmpdir(), "moxi-dataset-"));
const outFolder = join(folder, "out");
afterAll(() => rmSync(folder, { recursive: true }));
beforeEach(() => rmSync(outFolder, { recursive: true, force: true }));

type Split = Partial<PrepareOptions["split"]>;

function prepare(
  content: string | Uint8Array | readonly unknown[],
  split: Split = {},
  more: Partial<PrepareOptions> = {},
) {
  const text = Array.isArray(content) ? JSON.stringify(content) : (content as string | Uint8Array);
  writeFileSync(join(folder, "rows.json"), text);
  return prepareDataset({
    path: "rows.json",
    cwd: folder,
    split: { evalFraction: 0.05, maxEvalRows: 500, ...split },
    outFolder,
    ...more,
  });
}

async function failure(preparing: Promise<unknown>) {
  const error: unknown = await preparing.then(
    () => expect.fail("this should not be accepted"),
    (reason: unknown) => reason,
  );
  if (!isMoxiError(error)) throw error;
  expect(existsSync(outFolder) ? readdirSync(outFolder) : []).toEqual([]);
  return error.toJSON();
}

function readRows(path: string | null): CanonicalRow[] {
  const lines = path === null ? [] : readFileSync(path, "utf8").split("\n").slice(0, -1);
  return lines.map((line) => JSON.parse(line) as CanonicalRow);
}

const fewRows = (count: number) =>
  `rows.json: a model learns little from so few rows (${count} rows)`;

const alpaca = (count: number) =>
  Array.from({ length: count }, (_, i) => ({
    instruction: `Count to ${i}.`,
    output: `${i}!`,
    k: i % 7,
  }));

test("writes both sides as canonical rows, in order, named by what they hold", async () => {
  const rows = alpaca(40);
  const prepared = await prepare(rows);
  expect(prepared).toMatchObject({
    trainRows: 38,
    evalRows: 2,
    format: "Alpaca rows in a JSON array",
    sourceBytes: JSON.stringify(rows).length,
    warnings: [fewRows(40)],
  });
  const [train, held] = [readRows(prepared.trainFile), readRows(prepared.evalFile)];
  const numbers = [...train, ...held].map((row) => Number(JSON.stringify(row).match(/\d+/)![0]));
  expect(numbers.toSorted((a, b) => a - b)).toEqual(rows.map((_, i) => i));
  expect(numbers.slice(0, 38)).toEqual(numbers.slice(0, 38).toSorted((a, b) => a - b));
  expect(readFileSync(prepared.trainFile, "utf8").split("\n")[0]).toBe(
    '{"messages":[{"content":"Count to 0.","role":"user"},{"content":"0!","role":"assistant"}]}',
  );
  expect(readdirSync(outFolder)).toEqual([prepared.fingerprint]);

  const digests = [prepared.trainFile, prepared.evalFile!].map(
    (path) => `${createHash("sha256").update(readFileSync(path)).digest("hex")}\n`,
  );
  expect(prepared.fingerprint).toBe(createHash("sha256").update(digests.join("")).digest("hex"));
});

test("the same rows in another file form are the same dataset; one changed letter is another", async () => {
  const rows = alpaca(40);
  const first = await prepare(rows);
  const lines = `\ufeff${rows.map((row) => JSON.stringify({ ...row, note: 1 })).join("\r\n\r\n")}`;
  const again = await prepare(lines);
  expect(again.fingerprint).toBe(first.fingerprint);
  expect(again.format).toBe("Alpaca rows in JSON Lines");
  expect(again.warnings).toEqual([
    "rows.json: begins with a byte order mark: skipped",
    fewRows(40),
  ]);
  expect((await prepare(lines.replace("Count", "count"))).fingerprint).not.toBe(first.fingerprint);
  expect(readdirSync(outFolder)).toHaveLength(2);
});

test("leaves alone what is there already: another command may be reading it", async () => {
  const first = await prepare(alpaca(40));
  const before = [first.trainFile, first.evalFile!].map((file) => statSync(file).ino);
  await prepare(alpaca(40));
  expect([first.trainFile, first.evalFile!].map((file) => statSync(file).ino)).toEqual(before);
  // What somebody has changed since is written again.
  const rows = readFileSync(first.trainFile, "utf8");
  writeFileSync(first.trainFile, rows.replace("Count", "count"));
  await prepare(alpaca(40));
  expect(readFileSync(first.trainFile, "utf8")).toBe(rows);
});

test("holds nothing out when not asked to, or when all rows are one", async () => {
  expect(await prepare(alpaca(4), { evalFraction: 0 })).toMatchObject({
    trainRows: 4,
    evalRows: 0,
    evalFile: null,
    warnings: [fewRows(4)],
  });
  const equal = await prepare([{ text: "a" }, { text: "a" }]);
  expect(equal).toMatchObject({ trainRows: 2, evalFile: null });
  expect(equal.warnings).toContain("1 row: the same as an earlier row");
  expect(equal.warnings.slice(-1)).toEqual([
    "all rows are equal or of one group: none is held out",
  ]);
  expect(readdirSync(join(outFolder, equal.fingerprint))).toEqual(["check.json", "train.jsonl"]);
});

test("keeps a group on one side and says which rows have none", async () => {
  const rows = alpaca(70);
  const grouped = await prepare(rows, { groupBy: "k", evalFraction: 0.3 });
  const groups = (path: string | null) => readRows(path).map((row) => row.group);
  expect(grouped.evalRows).toBe(20);
  const held = new Set(groups(grouped.evalFile));
  expect(groups(grouped.trainFile).filter((group) => held.has(group))).toEqual([]);

  const { k: _, ...without } = rows[0]!;
  expect((await prepare([without, ...rows.slice(1)], { groupBy: "k" })).warnings).toEqual([
    "rows.json: some rows have no value to group them by and are split by content (1 of 70)",
  ]);
});

test("equal rows are on one side", async () => {
  const { trainFile, evalFile } = await prepare([...alpaca(20), ...alpaca(20)], {
    evalFraction: 0.5,
  });
  const texts = (path: string | null) => readRows(path).map((row) => JSON.stringify(row));
  const held = new Set(texts(evalFile));
  expect([held.size, texts(evalFile).length]).toEqual([10, 20]);
  expect(texts(trainFile).filter((text) => held.has(text))).toEqual([]);
});

test("a field to group by that no row has is a wrong setting", async () => {
  expect(
    await failure(prepare([{ text: "a", package: "x" }, { text: "b" }], { groupBy: "pakage" })),
  ).toMatchObject({
    code: "E_CONFIG_INVALID",
    exitCode: 2,
    place: { field: "split.groupBy" },
    hint: "did you mean package",
  });
});

test("counts every bad row, keeps five places of each rule, writes nothing", async () => {
  const bad = Array.from({ length: 30 }, () => ({ instruction: "Go." }));
  const rows = [{ instruction: "Go.", output: "ok" }, { instruction: "Go.", output: 7 }, ...bad];
  const error = await failure(prepare(rows.map((row) => JSON.stringify(row)).join("\n\n")));
  expect(error).toMatchObject({
    code: "E_DATASET_ROWS",
    exitCode: 3,
    message: "31 of 32 rows of rows.json cannot be trained on",
  });
  expect(error.details).toEqual([
    "30 rows: no answer: it is missing or null (missing-answer)",
    ...[3, 4, 5, 6, 7].map(
      (row) => `  rows.json:${2 * row - 1} (row ${row}) no answer in output or content`,
    ),
    "1 row: the answer is not text (answer-not-text)",
    "  rows.json:3 (row 2) output is a number (7), not text",
  ]);
});

test("goes on without bad rows when asked to, and says how many", async () => {
  const rows = [...alpaca(60), { instruction: "Go." }, { instruction: "Go.", output: " " }];
  const prepared = await prepare(rows, {}, { skipBadRows: true });
  expect(prepared.trainRows + prepared.evalRows).toBe(60);
  expect(prepared.warnings[0]).toBe("2 of 62 rows were left out: they have errors");
  expect(prepared.fingerprint).toBe((await prepare(alpaca(60))).fingerprint);
});

test("warnings are errors when asked for, rule by rule or all", async () => {
  const rows = [...alpaca(60), alpaca(1)[0]!];
  const error = await failure(prepare(rows, {}, { levels: { duplicate: "error" } }));
  expect(error.message).toBe("1 of 61 rows of rows.json cannot be trained on");
  expect((await failure(prepare(rows, {}, { strict: true }))).exitCode).toBe(3);
  expect((await prepare(rows)).warnings).toEqual(["1 row: the same as an earlier row"]);
});

test("shows what a hostile row says, and does not obey it", async () => {
  const row = { messages: [{ role: "\u001b[31m\u202eadmin\n", content: "x" }] };
  const error = await failure(prepare([row]));
  expect(error.details![1]).toMatch(
    /^ {2}rows\.json:1 messages\[0\]\.role is "\\u001b\[31m\\u202eadmin\\n": use system, /,
  );
});

test("preference pairs are no rows to train on", async () => {
  const rows = Array.from({ length: 3 }, (_, i) => ({
    prompt: `${i}`,
    chosen: "a",
    rejected: "b",
  }));
  expect((await failure(prepare(rows))).message).toMatch(/preference pairs, which train cannot/);
});

test.each([
  ["a mixture of forms", [{ text: "a" }, { prompt: "a", completion: "b" }], "E_DATASET_ROWS"],
  ["no rows", [], "E_DATASET_EMPTY"],
  ["one row", [{ text: "a" }], "E_DATASET_TOO_SMALL"],
])("%s", async (_, rows, code) => {
  expect((await failure(prepare(rows))).code).toBe(code);
});

test("mends half a surrogate pair, and says so", async () => {
  const { trainFile, warnings } = await prepare(
    [{ text: "cut \ud83d" }, { text: "\ufffd by itself" }, { text: "whole 😀" }],
    { evalFraction: 0 },
  );
  expect(readRows(trainFile)[0]).toEqual({ text: "cut \ufffd" });
  expect(warnings[0]).toBe("1 row: half an emoji or the like: U+FFFD takes its place");
});

test("a failing write leaves nothing behind", async () => {
  writeFileSync(outFolder, "a file where a folder should be");
  await expect(prepare(alpaca(4))).rejects.toMatchObject({ code: "EEXIST" });
  expect(readFileSync(outFolder, "utf8")).toBe("a file where a folder should be");
});

test("tells how far a big file is, and says nothing of a small one", async () => {
  const notices: Notice[] = [];
  const host = { notify: (notice: Notice) => void notices.push(notice) };
  const word = "All of them are here. ".repeat(5000);
  const big = Array.from({ length: 500 }, (_, i) => `{"text":"${i} ${word}"}`).join("\n");
  const split = { evalFraction: 0, maxEvalRows: 0 };
  const tell = async (name: string, text: string) => {
    writeFileSync(join(folder, name), text);
    await prepareDataset({ path: name, cwd: folder, split, outFolder, host });
  };
  await tell("small", '{"text":"a"}\n{"text":"b"}');
  expect(notices).toEqual([]);
  await tell("big", big);
  const fractions = notices.map((notice) => (notice.type === "task" ? notice.fraction! : NaN));
  expect(notices.at(0)).toMatchObject({ id: "dataset", state: "started" });
  expect(notices.at(-1)).toMatchObject({ state: "done", text: "big: 500 rows", fraction: 1 });
  expect(fractions.length).toBeGreaterThan(50);
  const middle =
    1 + notices.findIndex((notice) => notice.type === "task" && notice.state === "done");
  const [checking, splitting] = [fractions.slice(0, middle), fractions.slice(middle)];
  for (const part of [checking, splitting]) expect(part).toEqual(part.toSorted((a, b) => a - b));
});
