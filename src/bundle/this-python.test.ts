import { expect, test } from "vitest";
import type { ImageLock } from "./image-lock.ts";
import { askPython, takesWheels } from "./this-python.ts";

const lock: ImageLock = {
  formatVersion: 1,
  image: "test",
  python: "3.12",
  torch: "2.9.0",
  platforms: ["manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "linux_x86_64"],
  wheels: [],
};
const here = { version: "3.12.4", platform: "linux-x86_64", glibc: "2.36", torch: null };

test("a Python says what it is", async () => {
  const told = await askPython("python3", process.env);
  expect(told.version).toMatch(/^3\.\d+\.\d+/);
  expect(told.platform).toContain(process.arch === "x64" ? "x86_64" : "");
});

test("one that cannot be asked is named", async () => {
  await expect(askPython("/no/python", {})).rejects.toMatchObject({
    code: "E_PYTHON_MISSING",
    place: { file: "/no/python" },
  });
});

test.for([
  ["the image's own", {}, true],
  ["the oldest system", { glibc: "2.28" }, true],
  ["an older system", { glibc: "2.17" }, false],
  ["another minor version", { version: "3.11.9" }, false],
  ["one whose number only begins the same", { version: "3.1.2" }, false],
  ["another processor", { platform: "linux-aarch64" }, false],
  ["a Mac", { platform: "macosx-14.0-arm64", glibc: "" }, false],
  ["another C library", { glibc: "" }, false],
] as const)("wheels fit %s: %s", ([, changes, fits]) => {
  expect(takesWheels(lock, { ...here, ...changes })).toBe(fits);
});
