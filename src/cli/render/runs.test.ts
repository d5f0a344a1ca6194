import { expect, test } from "vitest";
import type { RunSummary } from "../../api/runs.ts";
import { createStyle } from "../terminal.ts";
import { runLines } from "./runs.ts";
import { width } from "./text.ts";

const style = createStyle(false);
const row: RunSummary = {
  run: "moxi-20261123-141207-calm-otter-7f3k",
  status: "succeeded",
  model: "moxi:tiny",
  method: "full",
  target: "local",
  createdAt: "2026-11-23T14:12:07.000Z",
  step: 1230,
  steps: 1230,
  heldOutLoss: { first: 7, last: 4.1, best: 4.1 },
  usd: null,
  error: null,
};
const rows: RunSummary[] = [
  row,
  {
    ...row,
    run: "moxi-ci-42",
    status: "running",
    model: "HuggingFaceTB/SmolLM2-135M-Instruct",
    method: "lora",
    step: 20,
    heldOutLoss: { first: 2.5, last: 2.5, best: 2.5 },
  },
  {
    ...row,
    run: "moxi-broken",
    status: "unreadable",
    model: null,
    method: null,
    target: null,
    step: null,
    steps: null,
    heldOutLoss: { first: null, last: null, best: null },
    error: "plan.json is damaged",
  },
];

test("160 columns hold everything", () => {
  expect(runLines(rows, { columns: 160, style })).toEqual([
    "run                                   status        held-out loss  model                  steps     method  target",
    "moxi-20261123-141207-calm-otter-7f3k  ✓ succeeded   7.000 → 4.100  moxi:tiny              1,230     full    local",
    "moxi-ci-42                            ● running     2.500 → 2.500  SmolLM2-135M-Instruct  20/1,230  lora    local",
    "moxi-broken                           ✗ unreadable",
  ]);
});

test("80 columns hold what matters most, and cut the model", () => {
  const lines = runLines(rows, { columns: 80, style });
  expect(lines[0]).toBe("run                                   status        held-out loss  model");
  expect(lines[2]).toMatch(/SmolLM2-1\w*…$/);
  for (const line of lines) expect(width(line)).toBeLessThanOrEqual(80);
});

test("a pipe gets whole cells", () => {
  expect(runLines(rows, { columns: Infinity, style })[2]).toContain("SmolLM2-135M-Instruct");
});

test("a run in a cloud shows what it has cost, and that its cloud does not answer", () => {
  const away = { ...row, run: "moxi-away", status: "unknown", target: "sagemaker" } as const;
  const paid = { ...row, run: "moxi-paid", target: "sagemaker", usd: 1.234 };
  expect(runLines([paid, away], { columns: 160, style })).toEqual([
    "run        status       held-out loss  model      steps  cost   method  target",
    "moxi-paid  ✓ succeeded  7.000 → 4.100  moxi:tiny  1,230  $1.23  full    sagemaker",
    "moxi-away  ? unknown    7.000 → 4.100  moxi:tiny  1,230         full    sagemaker",
  ]);
});
