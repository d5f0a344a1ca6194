import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { plan, run } from "../../../test/fixtures/story.ts";
import { freezePlan } from "../../run/plan.ts";
import type { Plan } from "../../run/plan.ts";
import { newAttempt } from "../../store/runs.ts";
import { layOut } from "./layout.ts";
import { checkMethod } from "./machine.ts";

let project: string;
beforeEach(async () => {
  project = await mkdtemp(join(tmpdir(), "moxi-adapter-"));
  await mkdir(join(project, "trainer", "moxi_train"), { recursive: true });
  await writeFile(join(project, "trainer", "bootstrap.py"), "");
  await writeFile(join(project, "train.jsonl"), '{"text":"a"}\n');
  await mkdir(join(project, "adapter"));
  for (const name of ["adapter_config.json", "adapter_model.safetensors", "README.md"]) {
    await writeFile(join(project, "adapter", name), name);
  }
});
afterEach(() => rm(project, { recursive: true }));

const changed = (recipe: Partial<Plan["recipe"]>): Plan => {
  const { planHash: _, ...rest } = plan({ method: "lora" });
  return freezePlan({ ...rest, recipe: { ...rest.recipe, ...recipe } });
};

test("a run has its own copy of the adapter that it starts from, and keeps it", async () => {
  const folder = join(project, "run");
  const submission = {
    run,
    folder,
    plan: changed({ adapter: "a".repeat(64) }),
    attempt: newAttempt(run, 1, "local", new Date("2026-11-23T14:12:07Z")),
    dataset: { train: join(project, "train.jsonl"), eval: null },
    modelFolder: null,
    adapterFolder: join(project, "adapter"),
  };
  await layOut(submission, join(project, "trainer"));
  const job: unknown = JSON.parse(
    await readFile(join(folder, "input", "data", "job", "job.json"), "utf8"),
  );
  expect(job).toMatchObject({ trainer: { adapterPath: "input/data/adapter" } });
  await rm(join(project, "adapter"), { recursive: true });
  await layOut({ ...submission, adapterFolder: null }, join(project, "trainer"));
  const kept = join(folder, "input", "data", "adapter");
  expect((await readdir(kept)).toSorted()).toEqual([
    "adapter_config.json",
    "adapter_model.safetensors",
  ]);
});

test("a run without one names none", async () => {
  const folder = join(project, "run");
  await layOut(
    {
      run,
      folder,
      plan: changed({}),
      attempt: newAttempt(run, 1, "local", new Date("2026-11-23T14:12:07Z")),
      dataset: { train: join(project, "train.jsonl"), eval: null },
      modelFolder: null,
      adapterFolder: null,
    },
    join(project, "trainer"),
  );
  expect(await readdir(join(folder, "input", "data"))).not.toContain("adapter");
});

test("qlora asks the interpreter that trains for bitsandbytes", async () => {
  const python = join(project, "python");
  const answer = (code: number) =>
    writeFile(python, `#!/bin/sh\ncase "$3" in *bitsandbytes*) exit ${code};; esac\nexit 9\n`, {
      mode: 0o755,
    });
  const qlora = changed({ method: "qlora" });
  await answer(1);
  expect(await checkMethod(python, process.env, qlora)).toMatchObject([
    {
      result: "failed",
      code: "E_PYTHON_INSTALL",
      hint: `uv pip install --python ${python} bitsandbytes`,
    },
  ]);
  expect(await checkMethod(python, process.env, changed({}))).toEqual([]);
  await answer(0);
  expect(await checkMethod(python, process.env, qlora)).toMatchObject([{ result: "ok" }]);
});
