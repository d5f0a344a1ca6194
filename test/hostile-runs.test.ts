import { mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { RunSummary } from "../src/api/runs.ts";
import { attemptName } from "../src/run/attempt.ts";
import { newAttempt } from "../src/store/runs.ts";
import { plan } from "./fixtures/story.ts";
import { createProject, exampleRows } from "./project.ts";
import type { Project } from "./project.ts";

// Run folders that a crash tore, a stranger made or another user owns, met by the real command line.

let project: Project;
let runs: string;
beforeEach(async () => {
  project = await createProject();
  runs = join(project.folder, ".moxi/runs");
});
afterEach(() => project.remove());

const at = new Date("2026-11-23T14:12:07Z");

/** A run that began long ago and of which nothing more is known. */
async function record(id: string): Promise<string> {
  const folder = join(runs, id);
  await mkdir(join(folder, "checkpoints"), { recursive: true });
  await mkdir(join(folder, "output"));
  await writeFile(join(folder, "plan.json"), JSON.stringify(plan()));
  const attempt = { ...newAttempt(id, 1, "local", at), name: attemptName(id, 1) };
  await writeFile(join(folder, "attempts.ndjson"), `${JSON.stringify(attempt)}\n`);
  return folder;
}

async function listed(): Promise<Record<string, RunSummary["status"]>> {
  const { code, stdout } = await project.moxi("runs", "--json");
  expect(code, stdout).toBe(0);
  const { runs: list } = JSON.parse(stdout) as { runs: RunSummary[] };
  return Object.fromEntries(list.map(({ run, status }) => [run, status]));
}

describe("runs lists every run beside", () => {
  beforeEach(async () => void (await record("moxi-good")));

  it("one whose story a crash tore", async () => {
    const folder = await record("moxi-torn");
    const { nonce } = JSON.parse(await readFile(join(folder, "attempts.ndjson"), "utf8"));
    const torn = ["garbage", "\0\0", "[]", '{"v":1,"ru', ""].map(
      (text) => `@moxi:${nonce} ${text}\n`,
    );
    await writeFile(join(folder, "output/attempt-1.log"), `\0\n${torn.join("")}@mo`);
    expect(await listed()).toEqual({ "moxi-good": "interrupted", "moxi-torn": "interrupted" });
  });

  it("one whose id tells a time that there is not", async () => {
    await mkdir(join(runs, "moxi-99999999-999999-x"));
    await mkdir(join(runs, "moxi-20269999-000000-calm-otter-7f3k"));
    expect(await listed()).toMatchObject({ "moxi-good": "interrupted" });
  });

  it("one that cannot be read", async () => {
    await symlink("moxi-loop", join(runs, "moxi-loop"));
    expect(await listed()).toEqual({ "moxi-good": "interrupted", "moxi-loop": "unreadable" });
  });
});

it("a chosen id that looks like ours is as old as its run", async () => {
  await record("moxi-20991231-235959-nightly");
  const newer = await record("moxi-ci-42");
  await writeFile(join(newer, "plan.json"), JSON.stringify(plan()));
  expect(Object.keys(await listed())[0]).toBe("moxi-ci-42");
});

it("a run whose process file lost power halfway is interrupted, not a bug", async () => {
  const folder = await record("moxi-power");
  await writeFile(join(folder, "output/attempt-1.pid.json"), "");
  const { code, stdout } = await project.moxi("show", "--json");
  expect(code, stdout).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ status: "interrupted" });
});

describe("train", () => {
  beforeEach(async () => void (await project.write("rows.json", JSON.stringify(exampleRows(12)))));
  const train = (...args: string[]) =>
    project.moxi("train", "--json", "--dataset", "rows.json", ...args);
  const errorOf = (stdout: string) => JSON.parse(stdout.trimEnd().split("\n").at(-1)!).error;

  it.each([[[]], [["--dry-run"]]])("refuses an id before it writes anything %j", async (how) => {
    const { code, stdout } = await train("--run-id", `../${"x".repeat(300)}`, ...how);
    expect(code).toBe(2);
    expect(errorOf(stdout)).toMatchObject({ code: "E_USAGE", place: { field: "run-id" } });
    expect(errorOf(stdout).message.length).toBeLessThan(100);
    expect(await readdir(project.folder)).not.toContain(".moxi");
  });

  it("says that the run of a chosen id is damaged, not that it has another plan", async () => {
    const folder = await record("moxi-ci-42");
    await writeFile(join(folder, "plan.json"), '{"format');
    const { code, stdout } = await train("--run-id", "ci-42");
    expect(code).toBe(2);
    expect(errorOf(stdout)).toMatchObject({ code: "E_RUN_FOLDER" });
    // The user's rows are there by now: they must not get into a commit.
    expect(await readFile(join(project.folder, ".moxi/.gitignore"), "utf8")).toBe("*\n");
  });
});
