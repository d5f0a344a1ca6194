import { access, readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { MergeResult } from "../src/api/merge.ts";
import { createRun, newAttempt, runsFolder } from "../src/store/runs.ts";
import { plan } from "./fixtures/story.ts";
import { createProject, exampleRows } from "./project.ts";
import type { Project } from "./project.ts";

let project: Project;
beforeAll(async () => {
  project = await createProject();
  await project.write("rows.json", JSON.stringify(exampleRows(12)));
  const settings = { dataset: "rows.json", method: "lora", epochs: 1, generationTokens: 4 };
  await project.write("moxi.config.json", JSON.stringify(settings));
});
afterAll(() => project.remove());

const errorOf = ({ stdout }: { stdout: string }) =>
  (JSON.parse(stdout) as { error: { code: string; message: string; hint?: string } }).error;

/** A run that is recorded and was never started. */
async function recorded(run: string, method: "lora" | "full"): Promise<string> {
  const attempt = newAttempt(run, 1, "local", new Date(0));
  await createRun(runsFolder(project.folder), run, plan({ method }), attempt);
  return run;
}

describe("moxi merge", () => {
  it("writes one model from a run's adapter and its base, and says where", async () => {
    const trained = await project.moxi("train");
    expect(trained.code, trained.stderr).toBe(0);
    const names = await readdir(runsFolder(project.folder));
    const run = names.find((name) => /^moxi-\d/.test(name) && !name.includes("20261123"));
    const folder = join(runsFolder(project.folder), `${run}`, "merged");

    const first = await project.moxi("merge", "--json");
    expect(first.code, first.stdout + first.stderr).toBe(0);
    const told = JSON.parse(first.stdout) as MergeResult;
    expect(told).toMatchObject({ formatVersion: 1, run, folder });
    expect((await readdir(folder)).length).toBe(told.files);
    const config = JSON.parse(await readFile(join(folder, "config.json"), "utf8"));
    expect(config.architectures).toEqual(["LlamaForCausalLM"]);
    await access(join(folder, "model.safetensors"));

    // Where a folder has something in it, it stays.
    await project.write("notes.txt", "mine");
    const refused = await project.moxi("merge", "--json", "--output", ".");
    expect(refused.code).toBe(2);
    expect(errorOf(refused)).toMatchObject({ code: "E_USAGE" });
    expect(await readFile(join(project.folder, "notes.txt"), "utf8")).toBe("mine");
  });

  it("says when there is nothing to merge", async () => {
    const full = await recorded("moxi-20261123-141207-calm-otter-7f3k", "full");
    const error = errorOf(await project.moxi("merge", full, "--json"));
    expect(error.code).toBe("E_RUN_STATE");
    expect(error.message).toContain("there is nothing to merge");
  });

  it("says when there is no adapter yet", async () => {
    const run = await recorded("moxi-20261123-141208-calm-otter-7f3k", "lora");
    const error = errorOf(await project.moxi("merge", run, "--json"));
    expect(error).toMatchObject({ code: "E_RUN_STATE", hint: `moxi resume ${run}` });
  });
});
