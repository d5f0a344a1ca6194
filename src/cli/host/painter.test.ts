import { expect, test } from "vitest";
import { screen } from "../../../test/screen.ts";
import { fakeTerminal } from "../../../test/terminal.ts";
import { createPainter } from "./painter.ts";

test("painted lines are replaced, printed lines stay above them", () => {
  const terminal = fakeTerminal({ columns: 20, live: true });
  const painter = createPainter(terminal);
  painter.print(["first"]);
  painter.paint(["one", "two"]);
  painter.print(["second"]);
  painter.paint(["three"]);
  expect(screen(20, terminal.written.err)).toEqual(["first", "second", "three"]);
  painter.paint([]);
  painter.print(["last"]);
  expect(screen(20, terminal.written.err)).toEqual(["first", "second", "last", ""]);
});

test("lines that are wider than the terminal are cut, and what folded in a narrower one is erased", () => {
  const terminal = fakeTerminal({ columns: 20, live: true });
  const painter = createPainter(terminal);
  painter.paint(["abcdefghijklmnopqrstuvwxyz"]);
  expect(screen(20, terminal.written.err)).toEqual(["abcdefghijklmnopqr…"]);

  terminal.size.columns = 10;
  // The terminal has folded the nineteen columns into two rows of ten.
  terminal.written.err = "abcdefghij\nklmnopqr…";
  painter.paint(["short"]);
  expect(screen(10, terminal.written.err)).toEqual(["short"]);
});

test("no more lines are painted than the terminal has", () => {
  const terminal = fakeTerminal({ columns: 20, rows: 4, live: true });
  createPainter(terminal).paint(["1", "2", "3", "4", "5", "6"]);
  expect(screen(20, terminal.written.err)).toEqual(["1", "2", "3"]);
});

test("the same lines are not written twice", () => {
  const terminal = fakeTerminal({ live: true });
  const painter = createPainter(terminal);
  painter.paint(["same"]);
  const { err } = terminal.written;
  painter.paint(["same"]);
  expect(terminal.written.err).toBe(err);
});

test("where lines cannot be painted over, only printed ones appear, without any control sequence", () => {
  const terminal = fakeTerminal({ live: false });
  const painter = createPainter(terminal);
  painter.print(["first"]);
  painter.paint(["never"]);
  painter.print(["second"]);
  expect(terminal.written.err).toBe("first\nsecond\n");
});
