import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe } from "vitest";
import { findPython } from "../../src/python/interpreter.ts";
import { newRunId } from "../../src/run/id.ts";
import { freezePlan } from "../../src/run/plan.ts";
import { appendAttempt, createRun, newAttempt, readRun, runsFolder } from "../../src/store/runs.ts";
import { createLocalTarget } from "../../src/targets/local/index.ts";
import { plan } from "../fixtures/story.ts";
import { standInTrainer } from "./stand-in.ts";
import { describeTarget } from "./suite.ts";
import type { Harness } from "./suite.ts";

describe("the local target", () => {
  describeTarget(openLocal);
});

async function openLocal(): Promise<Harness> {
  const project = await mkdtemp(join(tmpdir(), "moxi-local-"));
  const dataset = { train: join(project, "train.jsonl"), eval: join(project, "eval.jsonl") };
  await writeFile(dataset.train, '{"text":"a"}\n');
  await writeFile(dataset.eval, '{"text":"b"}\n');
  const { executable } = await findPython({
    env: process.env,
    platform: process.platform,
    mustMakeVenvs: false,
  });
  const clock = {
    now: () => new Date(),
    sleep: (milliseconds: number) =>
      new Promise<void>((resolve) => void setTimeout(resolve, milliseconds)),
  };
  const target = createLocalTarget({
    python: executable,
    trainerFolder: await standInTrainer(project),
    project,
    env: process.env,
    home: project,
    clock,
  });
  return {
    target,
    async newRun(behaviour) {
      const run = newRunId(new Date());
      const { planHash: _, ...unhashed } = plan();
      const frozen = freezePlan({ ...unhashed, prompts: [behaviour] });
      const attempt = newAttempt(run, 1, "local", clock.now());
      const { folder } = await createRun(runsFolder(project), run, frozen, attempt);
      const none = { modelFolder: null, adapterFolder: null };
      return { run, folder, plan: frozen, attempt, dataset, ...none };
    },
    async resumed(submission) {
      const record = await readRun(submission.folder);
      const number = record.attempts.length + 1;
      const attempt = newAttempt(submission.run, number, "local", clock.now());
      await appendAttempt(record, attempt);
      return { ...submission, attempt };
    },
    async crash({ folder, attempt }) {
      const file = join(folder, "output", `attempt-${attempt.attempt}.pid.json`);
      const { pid } = JSON.parse(await readFile(file, "utf8")) as { pid: number };
      process.kill(pid, "SIGKILL");
      while (
        (await target.status({ folder, attempt, run: "", plan: plan() })).state === "running"
      ) {
        await clock.sleep(5);
      }
    },
    close: () => rm(project, { recursive: true, force: true }),
  };
}
