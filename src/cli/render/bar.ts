import type { Style } from "../terminal.ts";

/** A progress bar of so many columns; the last half column counts. */
export function bar(fraction: number, columns: number, style: Style): string {
  const halves = Math.round(Math.min(1, Math.max(0, fraction)) * columns * 2);
  const full = "━".repeat(halves >> 1) + (halves % 2 === 1 ? "╸" : "");
  return style.cyan(full) + style.dim("─".repeat(columns - full.length));
}
