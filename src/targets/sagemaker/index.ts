import { MoxiError } from "../../base/errors.ts";
import type { Aws } from "../../aws/aws.ts";
import type { TargetStatus } from "../../run/attempt.ts";
import type { Capabilities, Reading, RunRef, Target } from "../target.ts";
import { endArrived, readLogs } from "./read.ts";
import { endDetail, hasEnded, hasStarted, liveStatus } from "./status.ts";
import { submitAttempt } from "./submit.ts";
import type { SubmitOptions } from "./submit.ts";

export interface SageMakerOptions extends Omit<SubmitOptions, "aws"> {
  readonly aws: Aws;
  /** The instance type to train on, "ml.g5.2xlarge". */
  readonly instance: string;
  readonly clock: { now(): Date; sleep(milliseconds: number): Promise<void> };
  /** How often the service is asked; it allows few requests a second. */
  readonly pollMs?: number;
  /** How long after a job's end its last lines may still arrive. */
  readonly drainMs?: number;
}

/** Trains in SageMaker training jobs: one job an attempt, under the attempt's name. */
export function createSageMakerTarget(options: SageMakerOptions): Target {
  const { aws, clock, instance, pollMs = 15_000, drainMs = 30_000 } = options;
  const capabilities: Capabilities = {
    // The service has both; what is asked of it here is a machine on demand, for one job.
    spot: false,
    warmPool: false,
    maxNodes: 1,
    paid: true,
    pollMs,
  };

  async function status({ attempt }: RunRef): Promise<TargetStatus> {
    const sagemaker = await aws.sagemaker();
    const job = await sagemaker.describe(attempt.name);
    if (job === undefined) {
      // It may be so new that the service does not find it yet.
      const age = clock.now().getTime() - Date.parse(attempt.at);
      return Math.abs(age) < newMs
        ? { state: "starting" }
        : { state: "gone", detail: "SageMaker has no such job" };
    }
    if (!hasEnded(job)) return liveStatus(job);
    if (hasStarted(job)) {
      if (await endArrived(await aws.logs(), attempt)) return { state: "ended" };
      const since = clock.now().getTime() - (job.endedAt?.getTime() ?? 0);
      if (since < drainMs) return { state: "running", detail: "waiting for the last lines" };
    }
    return { state: "gone", detail: endDetail(job) };
  }

  async function read({ attempt }: RunRef, cursor: string | null): Promise<Reading> {
    return readLogs(await aws.logs(), attempt, cursor);
  }

  async function stop(ref: RunRef, how: "checkpoint" | "abort"): Promise<void> {
    const sagemaker = await aws.sagemaker();
    await sagemaker.stop(ref.attempt.name);
    if (how === "checkpoint") return;
    // The service knows no harder way; what is left is to see it through.
    for (;;) {
      const { state } = await status(ref);
      if (state === "ended" || state === "gone") return;
      await clock.sleep(pollMs);
    }
  }

  return {
    name: "sagemaker",
    capabilities,
    machines: () => Promise.resolve([{ name: instance, accelerator: "cuda", accelerators: 1 }]),
    preflight: () => Promise.resolve([]),
    occupant: () => Promise.resolve(null),
    submit: (submission) => submitAttempt(submission, options),
    status,
    read,
    stop,
    outputs: async ({ attempt }) => {
      const job = await (await aws.sagemaker()).describe(attempt.name);
      if (job?.artifact !== undefined) return { artifact: job.artifact };
      throw new MoxiError("E_RUN_STATE", `${attempt.name} has left no model`, {
        hint: `moxi show ${attempt.name} tells what became of it`,
      });
    },
  };
}

const newMs = 60_000;
