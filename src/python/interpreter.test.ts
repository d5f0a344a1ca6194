import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { makeSandbox } from "./fakes.ts";
import type { Sandbox } from "./fakes.ts";
import { findPython } from "./interpreter.ts";

let box: Sandbox;
beforeEach(async () => {
  box = await makeSandbox();
});
afterEach(() => box.remove());

const find = (
  options: { platform?: NodeJS.Platform; mustMakeVenvs?: boolean; env?: object } = {},
) =>
  findPython({
    platform: options.platform ?? "linux",
    mustMakeVenvs: options.mustMakeVenvs ?? false,
    env: { ...box.env, ...options.env },
  });

test("takes the newest that the packages run on, whatever it is called", async () => {
  await box.python("python3.11", { version: [3, 11, 9] });
  await box.python("python3.13", { version: [3, 13, 1] });
  await box.python("python3", { version: [3, 15, 0] });
  expect(await find()).toMatchObject({ version: "3.13.1", minor: 13, makesVenvs: true });
});

test("looks past a version manager's placeholder that does not start", async () => {
  await box.program("python3.12", "echo 'pyenv: python3.12: command not found' >&2; exit 127");
  await box.python("python3", { version: [3, 11, 2] });
  expect((await find()).version).toBe("3.11.2");
});

test.for([
  [{ version: [3, 10, 12] }, "is Python 3.10.12, too old"],
  [{ version: [2, 7, 18] }, "is Python 2.7.18, too old"],
  [{ version: [3, 15, 0] }, "is Python 3.15.0, newer than the packages that Moxi trains with"],
  [{ implementation: "PyPy" }, "is PyPy"],
  [{ bits: 32 }, "is a 32-bit Python 3.12.4"],
  [{ freeThreaded: true }, "is a free-threaded Python 3.12.4"],
] as const)("says why a Python will not do: %o", async ([facts, reason]) => {
  await box.python("python3", facts);
  await expect(find()).rejects.toMatchObject({
    code: "E_PYTHON_MISSING",
    details: [`${join(box.root, "bin/python3")} ${reason}`],
  });
});

test("an Intel build on a Mac will not do", async () => {
  await box.python("python3", { machine: "x86_64" });
  await expect(find({ platform: "darwin" })).rejects.toMatchObject({
    code: "E_PYTHON_MISSING",
    details: [expect.stringContaining("for Intel Macs")],
    hint: expect.stringContaining("brew install python@3.13"),
  });
});

test("the hint is the command of the system at hand", async () => {
  await expect(find()).rejects.toMatchObject({ hint: expect.stringContaining("package manager") });
  await box.program("dnf", "");
  await expect(find()).rejects.toMatchObject({
    hint: expect.stringContaining("sudo dnf install python3.12"),
  });
  await box.program("apt-get", "");
  await expect(find()).rejects.toMatchObject({
    message: "Python 3.11 to 3.14 is needed to train on this machine, and none is on the PATH",
    hint: expect.stringContaining("sudo apt install python3.11 python3.11-venv"),
    exitCode: 1,
  });
});

test("Debian's Python without its venv package is named, if no other is there", async () => {
  await box.python("python3.12", { version: [3, 12, 3], venvs: false });
  expect((await find()).makesVenvs).toBe(false);
  await expect(find({ mustMakeVenvs: true })).rejects.toMatchObject({
    code: "E_PYTHON_VENV",
    hint: expect.stringContaining("sudo apt install python3.12-venv"),
  });
  await box.python("python3.11", { version: [3, 11, 2] });
  expect((await find({ mustMakeVenvs: true })).version).toBe("3.11.2");
});

test("MOXI_PYTHON goes before the PATH, by name or by path", async () => {
  await box.python("python3", { version: [3, 13, 0] });
  await box.python("mine", { version: [3, 11, 1] });
  expect((await find({ env: { MOXI_PYTHON: "mine" } })).version).toBe("3.11.1");
  const path = join(box.root, "bin/mine");
  expect((await find({ env: { MOXI_PYTHON: path } })).version).toBe("3.11.1");
});

test.for([
  ["nothing", "nothing is not on the PATH"],
  ["./python", "./python is not an absolute path"],
  ["/nowhere/python", "/nowhere/python does not start: there is no such program"],
  ["\u001b[31m", "\\u001b[31m is not on the PATH"],
])("MOXI_PYTHON=%j is not made up for by another Python", async ([override, reason]) => {
  await box.python("python3");
  await expect(find({ env: { MOXI_PYTHON: override } })).rejects.toMatchObject({
    code: "E_PYTHON_MISSING",
    message: "MOXI_PYTHON does not name a Python 3.11 to 3.14",
    details: [reason],
  });
});

test("a program that is no Python is not mistaken for one", async () => {
  await box.program("python3", "echo '[3, 12]'");
  await expect(find()).rejects.toMatchObject({
    details: [expect.stringContaining("is no Python")],
  });
});
