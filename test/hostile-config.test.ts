import { afterEach, beforeEach, expect, it } from "vitest";
import { createProject } from "./project.ts";
import type { Project } from "./project.ts";

// A config is a program: what it does must not be taken for an answer of ours.

let project: Project;
beforeEach(async () => void (project = await createProject()));
afterEach(() => project.remove());

const config = (program: string) => project.write("moxi.config.mjs", program);

it("that waits for ever is no success", async () => {
  await config("await new Promise(() => {});\nexport default {};");
  const told = await project.moxi("train");
  expect(told).toMatchObject({ code: 1, stdout: "" });
  expect(told.stderr).toContain("never came");
  const { code, stdout } = await project.moxi("config", "--json");
  expect(code).toBe(1);
  expect(JSON.parse(stdout)).toMatchObject({ type: "error", error: { code: "E_INTERNAL" } });
});

it("that ends the process is no success", async () => {
  await config("process.exit(0);\nexport default {};");
  const { code, stderr } = await project.moxi("train");
  expect(code).toBe(1);
  expect(stderr).toBe("moxi was ended before its work was done\n");
});

it("that prints leaves stdout to the result", async () => {
  await config('console.log("hello");\nconsole.info("there");\nexport default { seed: 7 };');
  const { code, stdout, stderr } = await project.moxi("config", "--json");
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ formatVersion: 1 });
  expect(stderr).toBe("hello\nthere\n");
});

it("is not needed to refuse a flag that every object has", async () => {
  for (const flag of ["--constructor", "--to-string", "--constructor=1"]) {
    const { code, stderr } = await project.moxi(flag);
    expect(code, stderr).toBe(2);
    expect(stderr).toContain(`there is no flag ${flag}`);
  }
});
