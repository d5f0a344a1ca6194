import { EventEmitter } from "node:events";
import { expect, test, vi } from "vitest";
import { createStyle, createTerminal, wantsColour } from "./terminal.ts";

test.each([
  [true, {}, true],
  [false, {}, false],
  [true, { NO_COLOR: "1" }, false],
  [true, { NO_COLOR: "" }, true],
  [true, { TERM: "dumb" }, false],
  [false, { FORCE_COLOR: "1" }, true],
  [true, { FORCE_COLOR: "0" }, false],
  [true, { FORCE_COLOR: "1", NO_COLOR: "1" }, true],
])("terminal %j with %j has colour: %j", (isTerminal, env, colour) => {
  expect(wantsColour(isTerminal, env)).toBe(colour);
});

test("without colour a style changes nothing", () => {
  expect(createStyle(false).red("x")).toBe("x");
  expect(createStyle(true).red("x")).toBe("\u001b[31mx\u001b[39m");
});

function fakeProcess(isTTY: boolean, env: Record<string, string> = {}) {
  const stream = () =>
    Object.assign(new EventEmitter(), {
      write: vi.fn<() => boolean>(),
      isTTY,
      columns: 100,
      rows: 30,
    });
  const exit = vi.fn<(code: number) => never>();
  return Object.assign(new EventEmitter(), { stdout: stream(), stderr: stream(), env, exit });
}

test("lines are painted over only where people look at a terminal that can", () => {
  expect(createTerminal(fakeProcess(true)).live).toBe(true);
  expect(createTerminal(fakeProcess(false)).live).toBe(false);
  expect(createTerminal(fakeProcess(true, { TERM: "dumb" })).live).toBe(false);
  expect(createTerminal(fakeProcess(true, { CI: "true" })).live).toBe(false);
});

test("a pipe has no width, a terminal its own", () => {
  expect(createTerminal(fakeProcess(false)).out.columns()).toBe(Infinity);
  expect(createTerminal(fakeProcess(true)).out.columns()).toBe(100);
});

test("a terminal that says it has no size is taken for an ordinary one", () => {
  const process = fakeProcess(true);
  Object.assign(process.stderr, { columns: 0, rows: 0 });
  const terminal = createTerminal(process);
  expect([terminal.err.columns(), terminal.rows()]).toEqual([80, 24]);
});

test("a reader that has gone ends the program quietly, another failure is told", () => {
  const process = fakeProcess(false);
  createTerminal(process).out.write("x");
  process.stdout.emit("error", Object.assign(new Error("broken pipe"), { code: "EPIPE" }));
  expect(process.exit).toHaveBeenCalledExactlyOnceWith(141);
  expect(process.stderr.write).not.toHaveBeenCalled();
  const full = Object.assign(new Error("no space left"), { code: "ENOSPC" });
  process.stdout.emit("error", full);
  expect(process.exit).toHaveBeenLastCalledWith(1);
  expect(process.stderr.write).toHaveBeenCalledExactlyOnceWith(
    "moxi: the output cannot be written (ENOSPC)\n",
  );
});

test("Ctrl-C reaches a listener until it is forgotten", () => {
  const process = fakeProcess(true);
  const listener = vi.fn<() => void>();
  const forget = createTerminal(process).onInterrupt(listener);
  process.emit("SIGINT");
  forget();
  process.emit("SIGINT");
  expect(listener).toHaveBeenCalledOnce();
});
