import type { PythonHere } from "../bundle/this-python.ts";
import type { ImageLock } from "../bundle/image-lock.ts";
import { formatCount } from "../base/format.ts";
import type { View } from "../run/fold.ts";
import type { Job } from "../run/job.ts";
import type { Machine, Plan } from "../run/plan.ts";
import type { Twin } from "./twin.ts";

// Enough to see the loss move and a checkpoint written, in about a minute on two CPU cores.
const mostSteps = 2;
const mostRows = 4;
const mostTokens = 16;
/** A rehearsal whose command was killed ends by itself. */
const longestSeconds = 900;

/** A job as it is rehearsed: smaller, on one device, and heard of by nobody. */
export function rehearsedJob(job: Job, here: Machine): Job {
  const { trainer, maxSeconds } = job;
  return {
    ...job,
    processes: 1,
    maxSeconds: Math.min(maxSeconds ?? longestSeconds, longestSeconds),
    trainer: {
      ...trainer,
      method: rehearsedMethod(trainer.method, here),
      effectiveBatch: Math.min(trainer.effectiveBatch, mostRows),
      generationTokens: Math.min(trainer.generationTokens, mostTokens),
      trackers: [],
      maxSteps: mostSteps,
    },
  };
}

function rehearsedMethod(method: Job["trainer"]["method"], here: Machine) {
  return method === "qlora" && here.accelerator !== "cuda" ? "lora" : method;
}

/** What is another in the job than in its rehearsal. */
export interface Difference {
  readonly name: string;
  readonly job: string;
  readonly rehearsal: string;
}

export interface Rehearsed {
  readonly plan: Plan;
  /** Of the plan's image; undefined where Moxi has none. */
  readonly lock: ImageLock | undefined;
  /** Whether the lock's wheels were installed here. */
  readonly tookWheels: boolean;
  readonly python: PythonHere;
  readonly machine: Machine;
  readonly twin: Twin;
  readonly view: View;
  /** Whether the job will read a token of the hub. */
  readonly hasToken: boolean;
}

/** What a rehearsal could not show, or showed on other things than the job will have. */
export function differencesOf(rehearsed: Rehearsed): Difference[] {
  const { plan, lock, tookWheels, python, machine, twin, view, hasToken } = rehearsed;
  const { recipe, settings } = plan;
  const differences: Difference[] = [];
  const tell = (name: string, job: string, rehearsal: string) => {
    if (job !== rehearsal) differences.push({ name, job, rehearsal });
  };

  const sameMinor = lock !== undefined && python.version.startsWith(`${lock.python}.`);
  tell("Python", lock?.python ?? "the image's", sameMinor ? lock.python : python.version);
  if (lock === undefined) {
    tell("packages", "what the image holds: Moxi has no lock for it", "Moxi's own environment");
  } else if (!tookWheels) {
    const wheels = `${lock.wheels.length} locked wheels over the image's`;
    tell("packages", wheels, "Moxi's own environment: the wheels do not fit here");
  }
  tell("torch", lock?.torch ?? "the image's", python.torch ?? "none");
  const cuda = /-cu(\d+)(\d)-/.exec(plan.cloud?.imageTag ?? "");
  const hasGpu = machine.accelerator === "cuda";
  tell(
    "CUDA",
    cuda === null ? "the image's" : `${cuda[1]}.${cuda[2]}`,
    hasGpu ? "this machine's" : "none",
  );
  tell(
    "machine",
    `${plan.machine.name}, ${devices(plan.machine)}`,
    `this one, ${devices(machine)}`,
  );
  if (plan.machine.accelerator !== machine.accelerator) {
    const precise = recipe.method === "full" ? "float32, computing in bfloat16" : "bfloat16";
    const dtype = view.decisions.find(({ name }) => name === "dtype")?.value;
    tell("dtype", precise, String(dtype ?? "float32"));
    tell("batches", "packed where rows are short", "padded");
  }
  if (recipe.method !== rehearsedMethod(recipe.method, machine)) {
    tell("method", recipe.method, "lora: weights of 4 bits need an NVIDIA GPU");
  }
  if (twin.size !== null) {
    const { layers, parameters } = twin.size;
    const small = `${layers} layers, ${formatCount(parameters)} random weights`;
    tell("model", recipe.model.id, `its small twin: ${small}`);
  }
  const { epochs } = recipe.training;
  tell("steps", counted(epochs, "epoch"), counted(view.progress?.steps ?? mostSteps, "step"));
  const { effectiveBatch } = recipe.training;
  tell("effective batch", String(effectiveBatch), String(Math.min(effectiveBatch, mostRows)));
  const { generationTokens } = settings;
  tell("sample tokens", String(generationTokens), String(Math.min(generationTokens, mostTokens)));
  if (plan.trackers.length > 0) tell("trackers", plan.trackers.join(", "), "none: nothing is told");
  if (hasToken) tell("HF_TOKEN", "read by the job from Systems Manager", "not read");
  tell("account", "checked before the job starts", "not asked");
  return differences;
}

function counted(count: number, name: string): string {
  return `${count} ${name}${count === 1 ? "" : "s"}`;
}

function devices({ accelerator, accelerators }: Machine): string {
  if (accelerator === "cpu") return "no GPU";
  return counted(accelerators, "GPU");
}
