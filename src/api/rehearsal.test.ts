import { describe, expect, test } from "vitest";
import { plan as story, run } from "../../test/fixtures/story.ts";
import { freezePlan } from "../run/plan.ts";
import type { Machine, Plan } from "../run/plan.ts";
import { fold } from "../run/fold.ts";
import { renderJob } from "../run/job.ts";
import { jobSchema } from "../run/schemas.ts";
import { differencesOf, rehearsedJob } from "./rehearsal.ts";

const cpu: Machine = { name: "this machine", accelerator: "cpu", accelerators: 0 };
const gpu: Machine = { name: "this machine", accelerator: "cuda", accelerators: 1 };
const big: Machine = { name: "ml.g5.12xlarge", accelerator: "cuda", accelerators: 4 };

function cloudPlan(method: "lora" | "qlora" | "full"): Plan {
  const { recipeHash: _, planHash: __, ...plan } = story({ model: "org/base" });
  const recipe = { ...plan.recipe, method };
  return freezePlan({ ...plan, recipe, target: "sagemaker", machine: big, trackers: ["wandb"] });
}
const jobOf = (plan: Plan) =>
  renderJob(plan, { run, attempt: 1, nonce: "0".repeat(32), modelPath: "input/data/model" });

describe("the job of a rehearsal", () => {
  test("is small, short and told to nobody; the rest is the job's", () => {
    const job = jobOf(cloudPlan("lora"));
    const rehearsed = jobSchema.parse(rehearsedJob(job, cpu));
    const { trainer, ...outside } = rehearsed;
    expect(outside).toEqual({ ...job, trainer: undefined, processes: 1, maxSeconds: 900 });
    expect(trainer).toEqual({
      ...job.trainer,
      effectiveBatch: 4,
      generationTokens: 16,
      trackers: [],
      maxSteps: 2,
    });
    expect(job.processes).toBe(4);
  });

  test("keeps a limit that is shorter, and 4-bit weights where there is a GPU", () => {
    const job = { ...jobOf(cloudPlan("qlora")), maxSeconds: 60 };
    expect(rehearsedJob(job, cpu)).toMatchObject({ maxSeconds: 60, trainer: { method: "lora" } });
    expect(rehearsedJob(job, gpu).trainer.method).toBe("qlora");
  });

  test("no real job has a limit of steps", () => {
    expect(jobOf(cloudPlan("full")).trainer.maxSteps).toBeNull();
  });
});

describe("the differences", () => {
  const told = (plan: Plan, machine: Machine, tookWheels = false) => {
    const lock = {
      formatVersion: 1,
      image: "x",
      python: "3.12",
      torch: "2.9.0",
      platforms: [],
      wheels: [],
    } as const;
    const python = { version: "3.12.1", platform: "linux-x86_64", glibc: "2.36", torch: "2.9.0" };
    const view = fold({ run, plan, attempts: [], events: [], artifactPath: "" });
    const twin = { modelFolder: null, adapterFolder: null, size: { parameters: 1234, layers: 2 } };
    const all = differencesOf({
      plan,
      lock,
      tookWheels,
      python,
      machine,
      twin,
      view,
      hasToken: true,
    });
    return Object.fromEntries(all.map(({ name, job, rehearsal }) => [name, [job, rehearsal]]));
  };

  test("are not told where there are none", () => {
    const same = told(cloudPlan("lora"), { ...big }, true);
    for (const name of ["Python", "torch", "packages", "dtype", "batches", "method"]) {
      expect(same).not.toHaveProperty(name);
    }
  });

  test("name what a machine without a GPU cannot show", () => {
    const without = told(cloudPlan("qlora"), cpu);
    expect(without["machine"]).toEqual(["ml.g5.12xlarge, 4 GPUs", "this one, no GPU"]);
    expect(without["method"]![0]).toBe("qlora");
    expect(without["model"]).toEqual([
      "org/base",
      "its small twin: 2 layers, 1,234 random weights",
    ]);
    expect(without["HF_TOKEN"]![1]).toBe("not read");
    expect(without["trackers"]![0]).toBe("wandb");
    expect(without["packages"]![1]).toContain("do not fit");
  });
});
