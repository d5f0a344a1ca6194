import { createStyle } from "../src/cli/terminal.ts";
import type { Terminal } from "../src/cli/terminal.ts";

/** A terminal whose outputs are kept, whose clock ticks by hand and whose Ctrl-C is a call. */
export interface FakeTerminal extends Terminal {
  readonly written: { out: string; err: string };
  size: { columns: number; rows: number };
  tick(): void;
  interrupt(): void;
}

export function fakeTerminal(
  options: { columns?: number; rows?: number; live?: boolean; colour?: boolean } = {},
): FakeTerminal {
  const { columns = 80, rows = 24, live = false, colour = false } = options;
  const written = { out: "", err: "" };
  const size = { columns, rows };
  const ticks = new Set<() => void>();
  const interrupts = new Set<() => void>();
  const output = (name: "out" | "err") => ({
    style: createStyle(colour),
    write: (text: string) => void (written[name] += text),
    columns: () => size.columns,
  });
  return {
    written,
    size,
    out: output("out"),
    err: output("err"),
    live,
    rows: () => size.rows,
    onInterrupt(listener) {
      interrupts.add(listener);
      return () => interrupts.delete(listener);
    },
    every(_milliseconds, callback) {
      ticks.add(callback);
      return () => ticks.delete(callback);
    },
    tick: () => ticks.forEach((callback) => callback()),
    interrupt: () => interrupts.forEach((listener) => listener()),
  };
}
