import { expect, test } from "vitest";
import type { DataShow } from "../../api/data-show.ts";
import type { Segment } from "../../tokens/segments.ts";
import { createStyle } from "../terminal.ts";
import { dataShowLines } from "./data-show.ts";
import { width } from "./text.ts";

const segment = (text: string, more: Partial<Segment> = {}): Segment => ({
  text,
  learned: false,
  cut: false,
  control: false,
  tokens: 3,
  ...more,
});
const control = (text: string, more: Partial<Segment> = {}) =>
  segment(text, { control: true, tokens: 1, ...more });
const show: DataShow = {
  model: "org/name",
  file: "rows.jsonl",
  line: 14,
  row: 12,
  limit: 12,
  overlong: "truncate",
  family: "ChatML",
  estimates: [],
  sequences: [
    {
      tokens: 18,
      learned: 4,
      secrets: [],
      segments: [
        control("<|im_start|>"),
        segment("user\nWhat is\tit? \u001b[31mred\u202e \n"),
        control("<|im_end|>"),
        segment("\n"),
        control("<|im_start|>"),
        segment("assistant\n"),
        segment(" It is a rather long answer ".repeat(4), { learned: true }),
        segment("of which this is cut", { learned: true, cut: true }),
        control("<|im_end|>", { learned: true, cut: true }),
      ],
    },
  ],
};

const plain = (columns: number, more: Partial<DataShow> = {}) =>
  dataShowLines({ ...show, ...more }, { columns, style: createStyle(false) });

test("without colour each line says at its start what it is", () => {
  expect(plain(80)).toEqual([
    "rows.jsonl, row 12 (line 14), as org/name, whose template is of the family",
    "ChatML",
    "18 tokens, 4 of them learned (22 %); limit 12, longer: it is cut there",
    "",
    "  «<|im_start|>»user↵",
    "  What is→it? \\u001b[31mred\\u202e·↵",
    "  «<|im_end|>»↵",
    "  «<|im_start|>»assistant↵",
    "+ ·It is a rather long answer  It is a rather long answer  It is a rather long",
    "+ answer  It is a rather long answer·",
    "x of which this is cut«<|im_end|>»",
    "",
    "+ learned   x behind the limit   (nothing) only seen   «…» a control token   · ↵",
    "→ blank, line break, tab",
  ]);
});

test.each([80, 160])("no line is wider than %i columns", (columns) => {
  for (const colour of [false, true]) {
    const lines = dataShowLines(show, { columns, style: createStyle(colour) });
    expect(Math.max(...lines.map(width))).toBeLessThanOrEqual(columns);
  }
});

test("with colour the learned is green, the seen is dim, the cut is struck out", () => {
  const lines = dataShowLines(show, { columns: 160, style: createStyle(true) });
  const having = (text: string) => lines.find((line) => line.includes(text))!;
  expect(having("It is a rather").startsWith("+ \u001b[32m·It is a rather")).toBe(true);
  expect(having("assistant")).toContain("\u001b[2m");
  expect(having("this is cut")).toContain("\u001b[9mof which");
  // What the data says is never a command to the terminal.
  expect(lines.join("")).not.toContain("\u001b[31mred");
  expect(lines.join("")).not.toContain("\u202e");
});

test("what becomes of a longer row, an estimate, and no limit are told", () => {
  expect(plain(160, { overlong: "drop" })[1]).toContain("longer: it is left out whole");
  expect(plain(160, { limit: null })[1]).toBe("18 tokens, 4 of them learned (22 %)");
  const lines = plain(160, { estimates: ["its normalizer is only done alike here"] });
  expect(lines[1]).toMatch(/^about 18 tokens/);
  expect(lines.at(-1)).toBe("estimate  its normalizer is only done alike here");
});
