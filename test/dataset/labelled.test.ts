import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { checkDataset } from "../../src/dataset/check.ts";
import type { CheckOptions } from "../../src/dataset/check.ts";
import { ruleCodes, rules } from "../../src/dataset/rules/catalog.ts";
import { cleanRows, plants, random, withBrokenByte } from "./labelled.ts";

// Precision and recall: every rule is planted in a clean file of 10,000 rows, and everything that is
// found must be what was planted, at its row: no miss and no false alarm.

const folder = mkdtempSync(join(tmpdir(), "moxi-labelled-"));
afterAll(() => rmSync(folder, { recursive: true }));

const clean = cleanRows();
const lines = clean.map((row) => JSON.stringify(row));
const copy = (index: number) => structuredClone(clean[index]!);

async function found(content: string | Uint8Array, options: Partial<CheckOptions> = {}) {
  writeFileSync(join(folder, "rows.jsonl"), content);
  const check = await checkDataset({
    path: "rows.jsonl",
    cwd: folder,
    maxPlaces: Infinity,
    ...options,
  });
  const places = check.problems.flatMap(({ code, places: all }) =>
    all.map(({ row }) => `${row} ${code}`),
  );
  return { check, places: places.sort(), codes: check.problems.map(({ code }) => code) };
}

test("nothing is found in the clean file, threads or not", async () => {
  for (const threadsFrom of [0, Infinity]) {
    const { check, codes } = await found(lines.join("\n"), { threadsFrom });
    expect(codes).toEqual([]);
    expect(check.rows).toEqual({ total: 10_000, usable: 10_000 });
  }
});

const planted = new Map<number, string>();
const content = () => {
  const next = random(11);
  const all: (string | Buffer)[] = [...lines];
  const rows = new Set<number>();
  const place = () => {
    for (;;) {
      const index = 100 + Math.floor(next() * 9800);
      if (rows.has(index) || index % 9 === 0) continue;
      rows.add(index);
      return index;
    }
  };
  planted.clear();
  // Each plant three times, at random rows.
  for (const { code, line } of plants) {
    for (let time = 0; time < 3; time++) {
      const index = place();
      all[index] = line(copy(index));
      planted.set(index + 1, code);
    }
  }
  for (let time = 0; time < 3; time++) {
    const index = place();
    all[index] = withBrokenByte(lines[index]!);
    planted.set(index + 1, "encoding");
  }
  // What rows say together: the later one is told.
  const twice = (code: string, make: (index: number) => string) => {
    for (let time = 0; time < 10; time++) {
      const [a, b] = [place(), place()];
      const [first, second] = [Math.min(a, b), Math.max(a, b)];
      all[second] = make(first);
      planted.set(second + 1, code);
    }
  };
  twice("duplicate", (index) => JSON.stringify({ id: index, ...copy(index) }));
  twice("near-duplicate", (index) => {
    const row = copy(index);
    row.messages[1]!.content += " Really so.";
    row.messages[0]!.content += " Please.";
    return JSON.stringify(row);
  });
  twice("conflicting-answers", (index) => {
    const row = copy(index);
    row.messages[1]!.content =
      copy((index + 50) % 9000)
        .messages[1]!.content.split("")
        .reverse()
        .join("")
        .replace(/[^a-z ]/gi, "") + ".";
    return JSON.stringify(row);
  });
  return Buffer.concat(all.map((line) => Buffer.concat([Buffer.from(line), Buffer.from("\n")])));
};

test.each([
  ["in threads", 0],
  ["in one thread", Infinity],
])("every planted row is found and no other, %s", async (_, threadsFrom) => {
  const bytes = content();
  const { check, places } = await found(bytes, { threadsFrom });
  const expected = Array.from(planted, ([row, code]) => `${row} ${code}`).sort();
  expect(places).toEqual(expected);
  for (const { code, count, places: all } of check.problems) {
    expect([code, count]).toEqual([
      code,
      expected.filter((one) => one.endsWith(` ${code}`)).length,
    ]);
    for (const { row, line } of all) expect(line, `${row} ${code}`).toBe(row);
  }
  const errors = expected.filter(
    (one) => rules[one.split(" ")[1] as keyof typeof rules].severity === "error",
  );
  expect(check.rows).toEqual({ total: 10_000, usable: 10_000 - errors.length });
  // Counts stay exact when five places are kept.
  const few = await found(bytes, { threadsFrom, maxPlaces: 5 });
  const counts = (one: typeof few) => one.check.problems.map(({ code, count }) => [code, count]);
  expect(counts(few)).toEqual(check.problems.map(({ code, count }) => [code, count]));
  expect(Math.max(...few.check.problems.map((problem) => problem.places.length))).toBe(5);
});

test("no value of a secret and no raw control character is told", async () => {
  const { check } = await found(content());
  const told = JSON.stringify(check.problems);
  for (const part of ["Z7QK3M5P", "a8Kd03jL", "Tz8Qw2Lm", "MIIEpAIB", "9aZ4kQ7w", "Qm7Zp3Lx"]) {
    expect(told).not.toContain(part);
  }
  // eslint-disable-next-line no-control-regex -- these must not be there
  expect(told).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e]/);
});

test("an array with the same rows gives the same places", async () => {
  const rows = [...lines];
  for (const [index, { line, code }] of plants
    .filter(({ code: one }) => !["syntax", "nul-byte", "not-a-number", "too-deep"].includes(one))
    .entries()) {
    rows[200 + 10 * index] = line(copy(200 + 10 * index));
    void code;
  }
  const inLines = await found(rows.join("\n"));
  const inArray = await found(`[${rows.join(",\n")}]`, { threadsFrom: 0 });
  const ofRows = inArray.places.filter((place) => place !== "undefined name-mismatch");
  expect(ofRows).toEqual(inLines.places);
  expect(inArray.check.format).toBe("chat rows in a JSON array");
});

test("rows on both sides, equal or almost, are told of the held-out one", async () => {
  const row = copy(7);
  row.messages[0]!.content += " Please.";
  const held = [
    lines[3]!,
    JSON.stringify({ ...copy(4), id: 1 }),
    JSON.stringify(row),
    ...cleanRows(60, 99).map((one) => JSON.stringify(one)),
  ];
  writeFileSync(join(folder, "eval.jsonl"), held.join("\n"));
  const { check } = await found(lines.slice(0, 500).join("\n"), { evalPath: "eval.jsonl" });
  const told = check.problems.map(({ code, severity, places }) => [
    code,
    severity,
    places.map((place) => `${place.file}:${place.row} ${place.detail}`),
  ]);
  expect(told).toEqual([
    ["leak", "error", ["eval.jsonl:1 like rows.jsonl row 4", "eval.jsonl:2 like rows.jsonl row 5"]],
    [
      "near-leak",
      "warning",
      [expect.stringMatching(/^eval\.jsonl:3 like rows\.jsonl row 8, similarity 0\.(8[5-9]|9)/)],
    ],
  ]);
});

const constant = clean.slice(0, 200).map((row, index) => {
  if (index % 3 > 0) row = structuredClone(row);
  if (index % 3 > 0)
    row.messages[1]!.content = `Certainly! Here is the answer: ${row.messages[1]!.content}`;
  return JSON.stringify(row);
});

test.each([
  ["constant-prefix", constant.join("\n")],
  ["too-few-rows", lines.slice(0, 20).join("\n")],
  ["byte-order-mark", `\ufeff${lines.slice(0, 60).join("\n")}`],
  ["name-mismatch", `[${lines.slice(0, 60).join(",")}]`],
  ["unwrapped", `{"data":[${lines.slice(0, 60).join(",")}]}`],
  [
    "ragged-row",
    `question,answer\n${Array.from({ length: 60 }, (_, i) => `What is ${i}?,It is ${i}.`).join("\n")}\na,b,c\n`,
  ],
  [
    "preference-pair",
    lines
      .slice(0, 60)
      .map((_, i) =>
        JSON.stringify({ prompt: `What is ${i}?`, chosen: `It is ${i}.`, rejected: "No idea." }),
      )
      .join("\n"),
  ],
  [
    "conflicting-fields",
    Array.from({ length: 60 }, (_, i) =>
      JSON.stringify({
        instruction: `Count to ${i}.`,
        output: `${i}!`,
        content: i === 5 ? "no" : null,
      }),
    ).join("\n"),
  ],
  [
    "empty-prompt",
    Array.from({ length: 60 }, (_, i) =>
      JSON.stringify({ prompt: i === 5 ? " " : `Count to ${i}.`, completion: `${i}!` }),
    ).join("\n"),
  ],
  [
    "inexact-number",
    Array.from({ length: 60 }, (_, i) =>
      JSON.stringify({
        instruction: `Count to ${i}.`,
        input: { n: i === 5 ? 1e300 : i },
        output: `${i}!`,
      }),
    ).join("\n"),
  ],
  ["unreadable", `[${lines.slice(0, 60).join(",")}`],
])("%s alone", async (code, text) => {
  const { codes } = await found(text);
  // A name that ends in .jsonl promises lines.
  const others =
    text.startsWith("[") || text.startsWith('{"data"') || text.startsWith("question")
      ? ["name-mismatch"]
      : [];
  expect(codes.toSorted()).toEqual([...new Set([code, ...others])].sort());
});

test("every rule is planted here or where folders and groups are tested", () => {
  const here = new Set([
    ...plants.map(({ code }) => code),
    "encoding",
    "duplicate",
    "near-duplicate",
    "conflicting-answers",
    "leak",
    "near-leak",
    "constant-prefix",
    "too-few-rows",
    "byte-order-mark",
    "name-mismatch",
    "unwrapped",
    "ragged-row",
    "preference-pair",
    "conflicting-fields",
    "empty-prompt",
    "inexact-number",
    "unreadable",
  ]);
  expect(ruleCodes.filter((code) => !here.has(code))).toEqual([
    "not-read",
    "outside-link",
    "mixed-files",
    "ungrouped",
    "limited-search",
    // With a tokenizer: test/tokens has these.
    "template-refused",
    "template-drops",
    "nothing-to-learn",
    "answer-cut-off",
    "answer-cut",
    "too-long",
    "no-end-token",
    "doubled-start",
  ]);
});
