import type { RunSummary } from "../../api/runs.ts";
import { formatCount, printable } from "../../base/format.ts";
import type { Style } from "../terminal.ts";
import { fit, padEnd, width } from "./text.ts";
import { costText, lossText, statusText } from "./words.ts";

interface Column {
  readonly title: string;
  cell(row: RunSummary, style: Style): string;
  /** May be cut to this many columns when the terminal is narrow. */
  readonly shrinksTo?: number;
}

/** From the one that is needed most: those that do not fit are left out from the end. */
const columnList: readonly Column[] = [
  { title: "run", cell: (row) => printable(row.run) },
  { title: "status", cell: (row, style) => statusText(row.status, style) },
  { title: "held-out loss", cell: (row) => lossChange(row.heldOutLoss) },
  { title: "model", cell: (row) => printable(lastPart(row.model ?? "")), shrinksTo: 10 },
  { title: "steps", cell: stepText },
  { title: "cost", cell: (row) => (row.usd === null ? "" : costText({ usd: row.usd })) },
  { title: "method", cell: (row) => row.method ?? "" },
  { title: "target", cell: (row) => row.target ?? "" },
];

/** The table of `moxi runs`, newest first. */
export function runLines(
  rows: readonly RunSummary[],
  { columns, style }: { readonly columns: number; readonly style: Style },
): string[] {
  const gap = 2;
  let left = columns;
  const shown: { cells: readonly string[]; width: number; title: string }[] = [];
  for (const column of columnList) {
    const cells = rows.map((row) => column.cell(row, style));
    if (column.title === "cost" && cells.every((cell) => cell === "")) continue;
    const wanted = Math.max(width(column.title), ...cells.map(width));
    const least = Math.min(wanted, column.shrinksTo ?? wanted);
    if (least > left && shown.length > 0) break;
    const given = Math.min(wanted, Math.max(least, left));
    shown.push({
      title: column.title,
      cells: given < wanted ? cells.map((cell) => fit(cell, given)) : cells,
      width: given,
    });
    left -= given + gap;
  }
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, index) => padEnd(cell, shown[index]!.width))
      .join(" ".repeat(gap))
      .trimEnd();
  return [
    style.dim(line(shown.map((column) => column.title))),
    ...rows.map((_row, index) => line(shown.map((column) => column.cells[index]!))),
  ];
}

/** A hub id or a path by its own name: the owner and the folders stand in `moxi show`. */
function lastPart(model: string): string {
  return model.split(/[\\/]/).findLast((part) => part !== "") ?? model;
}

function lossChange({ first, last }: RunSummary["heldOutLoss"]): string {
  if (last === null) return "";
  return first === null ? lossText(last) : `${lossText(first)} → ${lossText(last)}`;
}

function stepText({ step, steps }: RunSummary): string {
  if (step === null || steps === null) return "";
  return step === steps ? formatCount(steps) : `${formatCount(step)}/${formatCount(steps)}`;
}
