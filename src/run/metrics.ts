import type { View } from "./fold.ts";

/** The columns of metrics.csv, as the training program writes them too. */
const columns = [
  "step",
  "epoch",
  "loss",
  "learningRate",
  "gradNorm",
  "tokens",
  "heldOutLoss",
] as const;

/** A run's losses as a table: a line a step, empty where a value is not known; at any time of the run. */
export function metricsTable({ steps, evals }: Pick<View, "steps" | "evals">): string {
  const rows = new Map<number, Partial<Record<(typeof columns)[number], number | null>>>();
  for (const { step, epoch, loss, learningRate, gradNorm, tokens } of steps) {
    rows.set(step, { step, epoch, loss, learningRate, gradNorm, tokens });
  }
  for (const { step, loss } of evals)
    rows.set(step, { step, ...rows.get(step), heldOutLoss: loss });
  const lines = [...rows.values()]
    .sort((a, b) => a.step! - b.step!)
    .map((row) => columns.map((name) => row[name] ?? "").join(","));
  return `${[columns.join(","), ...lines].join("\n")}\n`;
}
