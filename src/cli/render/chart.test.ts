import { expect, test } from "vitest";
import { chart } from "./chart.ts";
import type { Point } from "./chart.ts";

const shape = { columns: 10, rows: 3, steps: 20, marks: [] };

test("a falling line goes from the top left to the bottom right", () => {
  const line: Point[] = Array.from({ length: 21 }, (_, step) => [step, 6 - step / 5]);
  expect(chart({ ...shape, line })).toEqual([" 6.00 ┤⠑⠢⢄⡀", "      │   ⠈⠑⢄⡀", " 2.00 ┤      ⠈⠑⠢⢄"]);
});

test("half of the steps fill half of the chart", () => {
  const line: Point[] = Array.from({ length: 11 }, (_, step) => [step, 6 - step / 5]);
  for (const row of chart({ ...shape, line })) expect(row.length).toBeLessThanOrEqual(7 + 6);
});

test("marks lie over the line, at their own step and value", () => {
  const rows = chart({
    ...shape,
    line: [
      [0, 2],
      [20, 2],
    ],
    marks: [
      [0, 4],
      [20, 2],
    ],
  });
  expect(rows[0]).toBe(" 4.00 ┤●");
  expect(rows[2]).toBe(" 2.00 ┤⣀⣀⣀⣀⣀⣀⣀⣀⣀●");
});

test("a value that is not finite leaves no trace, and without any value there is no chart", () => {
  expect(
    chart({
      ...shape,
      line: [
        [1, null],
        [2, 3],
      ],
    }),
  ).toHaveLength(3);
  expect(chart({ ...shape, line: [[1, null]] })).toEqual([]);
  expect(chart({ ...shape, line: [] })).toEqual([]);
});

test("the axis keeps its width for the smallest and the largest losses", () => {
  for (const value of [1e-7, 0.0123, 12.3, 123.4, 98765.4, 1e12]) {
    const [top] = chart({ ...shape, line: [[1, value]] });
    expect(top!.indexOf("┤"), String(value)).toBe(6);
  }
});

test("line, marks and axis are painted apart", () => {
  const [top] = chart({
    ...shape,
    line: [[10, 1]],
    marks: [[0, 1]],
    paintAxis: (text) => `a(${text})`,
    paintLine: (text) => `l(${text})`,
    paintMark: (text) => `m(${text})`,
  });
  expect(top).toMatch(/^a\( 1\.00 ┤\)/);
  expect(
    chart({ ...shape, line: [[10, 1]], marks: [[0, 1]], paintMark: () => "M" }).join(""),
  ).toContain("M");
});
