import type { Terminal } from "../terminal.ts";
import { fit, width } from "../render/text.ts";
import { stripVTControlCharacters } from "node:util";

/** Lines that stay, and below them a few that are painted over and over. */
export interface Painter {
  /** Writes lines that stay, above the painted ones. */
  print(lines: readonly string[]): void;
  /** Replaces the painted lines; does nothing where lines cannot be painted over. */
  paint(lines: readonly string[]): void;
}

/** What a painted line may take. One column stays free: a full line would move the cursor on. */
export function paintedColumns({ err }: Terminal): number {
  return err.columns() - 1;
}

/**
 * Paints on a terminal's `err`. The cursor is never hidden and rests at the end of the painted
 * lines, so that a process killed at any moment leaves a terminal that needs no repair.
 */
export function createPainter(terminal: Terminal): Painter {
  const { err, live } = terminal;
  let painted: readonly string[] = [];

  // Line by line: some terminals keep a screen that is cleared at once in their history. A narrower
  // window has folded the lines that were painted in a wider one.
  const erase = () => {
    const columns = err.columns();
    const folded = painted.map((line) => Math.max(1, Math.ceil(width(line) / columns)));
    const height = folded.reduce((sum, rows) => sum + rows, 0);
    return height === 0 ? "" : `\r\u001b[2K${"\u001b[1A\u001b[2K".repeat(height - 1)}`;
  };
  const clip = (lines: readonly string[]) => {
    const columns = paintedColumns(terminal);
    return lines
      .slice(0, Math.max(1, terminal.rows() - 1))
      .map((line) =>
        width(line) <= columns ? line : fit(stripVTControlCharacters(line), columns),
      );
  };

  return {
    print(lines) {
      if (lines.length === 0) return;
      const text = erase() + lines.map((line) => `${line}\n`).join("") + painted.join("\n");
      err.write(text);
    },
    paint(lines) {
      if (!live) return;
      const next = clip(lines);
      if (next.length === painted.length && next.every((line, i) => line === painted[i])) return;
      const text = erase() + next.join("\n");
      painted = next;
      err.write(text);
    },
  };
}
