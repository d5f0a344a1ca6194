import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { attempt, events, plan } from "./fixtures/story.ts";
import { createProject, exampleRows } from "./project.ts";
import type { Project } from "./project.ts";

// Something else than the file or folder that is looked for, met by the real command line.

let project: Project;
beforeEach(async () => void (project = await createProject()));
afterEach(() => project.remove());

const errorOf = (stdout: string) => JSON.parse(stdout.trimEnd().split("\n").at(-1)!).error;
const settingsOf = (stdout: string) =>
  (JSON.parse(stdout) as { settings: { key: string; value: unknown }[] }).settings;
const inProject = (...names: string[]) => join(project.folder, ...names);

it.each([".env", "moxi.config.json", "moxi.config.mjs"])(
  "a pipe or a device in the place of %s is refused, not waited for",
  async (name) => {
    execFileSync("mkfifo", [inProject(name)]);
    const pipe = await project.moxi("config", "--json");
    expect([pipe.code, errorOf(pipe.stdout).code]).toEqual([2, "E_CONFIG_UNREADABLE"]);
    expect(errorOf(pipe.stdout).message).toContain("a pipe or a device");

    await rm(inProject(name));
    execFileSync("ln", ["-s", "/dev/zero", inProject(name)]);
    const device = await project.moxi("config", "--json");
    expect([device.code, errorOf(device.stdout).code]).toEqual([2, "E_CONFIG_UNREADABLE"]);
  },
);

it("a pipe in the place of a run's plan is refused, not waited for", async () => {
  await mkdir(inProject(".moxi/runs/moxi-pipe"), { recursive: true });
  execFileSync("mkfifo", [inProject(".moxi/runs/moxi-pipe/plan.json")]);
  const { code, stdout } = await project.moxi("show", "--json");
  expect([code, errorOf(stdout).code]).toEqual([2, "E_RUN_FOLDER"]);
  const listed = await project.moxi("runs", "--json");
  expect([listed.code, JSON.parse(listed.stdout).runs[0].status]).toEqual([0, "unreadable"]);
});

it.each([".moxi", ".moxi/runs"])("%s that is a plain file", async (name) => {
  await project.write("rows.json", JSON.stringify(exampleRows(12)));
  if (name !== ".moxi") await mkdir(inProject(".moxi"));
  await project.write(name, "mine");
  for (const args of [["runs"], ["show"], ["train", "--dataset", "rows.json"]]) {
    const { code, stdout } = await project.moxi(...args, "--json");
    expect([code, errorOf(stdout).code], args[0]).toEqual([2, "E_RUN_FOLDER"]);
    expect(errorOf(stdout).place).toEqual({ file: inProject(name) });
  }
  expect(existsSync(inProject(".moxi/data"))).toBe(false);
});

it(".env keeps its first setting behind the mark that some editors write", async () => {
  await project.write(".env", "\ufeffMOXI_SEED=7\nMOXI_EPOCHS=2\n");
  const { stdout } = await project.moxi("config", "--json");
  expect(settingsOf(stdout)).toContainEqual(
    expect.objectContaining({ key: "seed", value: 7, source: ".env", where: ".env:1" }),
  );
});

it.each([
  "export default { get seed() { throw new Error('no seed today'); } };",
  "export default { prompts: ['a'], lora: new Proxy({}, { ownKeys() { throw new Error('no seed today'); } }) };",
  "export default { prompts: new Proxy(['a'], { get() { throw new Error('no seed today'); } }) };",
  "throw Object.assign(Object.create(null), { why: 'no seed today' });",
])("a config that throws is the config's fault: %s", async (program) => {
  await project.write("moxi.config.mjs", program);
  const { code, stdout } = await project.moxi("config", "--json");
  expect([code, errorOf(stdout).code]).toEqual([2, "E_CONFIG_UNREADABLE"]);
  expect(errorOf(stdout).message).toContain("no seed today");
  expect(errorOf(stdout).place.file).toBe(inProject("moxi.config.mjs"));
});

it("errors are JSON however --json was written", async () => {
  for (const flag of ["--json", "--json=true", "--json=1", "--json=Yes"]) {
    const { stdout, stderr } = await project.moxi("show", flag);
    expect([flag, errorOf(stdout).code, stderr]).toEqual([flag, "E_RUN_NOT_FOUND", ""]);
  }
  for (const flag of ["--json=false", "--no-json", "--json=maybe"]) {
    expect(await project.moxi("show", flag)).toMatchObject({ stdout: "", code: 2 });
  }
});

it("runs and show tell the same of a run, whatever of it was deleted", async () => {
  const run = "moxi-20261123-141207-calm-otter-7f3k";
  const statuses = async () => {
    const list = JSON.parse((await project.moxi("runs", "--json")).stdout).runs;
    const view = JSON.parse((await project.moxi("show", "--json")).stdout);
    expect(list[0]).toMatchObject({
      status: view.status,
      heldOutLoss: view.heldOutLoss,
      step: view.progress?.step ?? null,
    });
    return view.status as string;
  };
  for (const deleted of ["nothing", "output", "checkpoints"]) {
    const folder = inProject(".moxi/runs", run);
    await rm(folder, { recursive: true, force: true });
    await mkdir(join(folder, "output"), { recursive: true });
    await mkdir(join(folder, "checkpoints"));
    const one = { ...attempt, name: `${run}-a1` };
    const story = events({ end: "succeeded" }).map((each) => JSON.stringify({ ...each, run }));
    await writeFile(join(folder, "plan.json"), JSON.stringify(plan()));
    await writeFile(join(folder, "attempts.ndjson"), `${JSON.stringify(one)}\n`);
    await writeFile(join(folder, "checkpoints/events.ndjson"), `${story.join("\n")}\n`);
    const log = story.flatMap((text) => [`@moxi:${one.nonce} ${text}`, "printed"]);
    await writeFile(join(folder, "output/attempt-1.log"), `${log.join("\n")}\n`);
    await rm(join(folder, deleted), { recursive: true, force: true });
    const status = await statuses();
    expect([deleted, status]).toEqual([
      deleted,
      deleted === "output" ? "interrupted" : "succeeded",
    ]);
  }
});
