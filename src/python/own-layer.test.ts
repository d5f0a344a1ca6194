import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ensurePython } from "./ensure.ts";
import { makeSandbox } from "./fakes.ts";
import type { Sandbox } from "./fakes.ts";

let box: Sandbox;
beforeEach(async () => {
  box = await makeSandbox();
});
afterEach(() => box.remove());

const take = (path: string) =>
  ensurePython({ ...box.options, env: { ...box.env, MOXI_PYTHON_LAYER: path } });

/** A Python with these packages, called bin/python. */
async function environment(packages: Record<string, string>, minor = 12): Promise<string> {
  await box.program("python", `echo '${JSON.stringify({ minor, packages })}'`);
  return box.root;
}

test("an environment is taken as it is, by its folder or its interpreter", async () => {
  const folder = await environment({ torch: "2.15.0+cpu", TRL: "1.16.0" });
  const python = join(folder, "bin/python");
  const expected = { folder, python, torch: "cpu", created: false };
  expect(await take(folder)).toMatchObject(expected);
  expect(await take(python)).toMatchObject(expected);
  expect(box.notices).toEqual([]);
});

test("what differs from the lock is a warning", async () => {
  await take(await environment({ torch: "2.14.0" }));
  expect(box.notices).toEqual([
    expect.objectContaining({
      type: "warning",
      text: expect.stringContaining("trl is missing, torch 2.14.0 (locked: 2.15.0)"),
    }),
  ]);
});

test("without torch, with another Python, or nowhere it is an error", async () => {
  await expect(take(await environment({}))).rejects.toMatchObject({ code: "E_PYTHON_INSTALL" });
  await expect(take(await environment({ torch: "2.15.0" }, 10))).rejects.toMatchObject({
    code: "E_PYTHON_MISSING",
    message: expect.stringContaining("is Python 3.10; 3.11 to 3.14 is needed"),
  });
  await expect(take("/nowhere")).rejects.toMatchObject({ code: "E_PYTHON_MISSING" });
  await expect(take("relative")).rejects.toMatchObject({
    message: expect.stringContaining("is not an absolute path"),
  });
  await box.program("python", "echo hello");
  await expect(take(box.root)).rejects.toMatchObject({
    message: expect.stringContaining("is no Python"),
  });
});
