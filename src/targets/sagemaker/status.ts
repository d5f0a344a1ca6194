import type { TrainingJob } from "../../aws/sagemaker.ts";
import type { Stage, TargetStatus } from "../../run/attempt.ts";
import type { Outcome } from "../../run/event.ts";

const terminal = new Set(["Completed", "Failed", "Stopped"]);

export function hasEnded(job: TrainingJob): boolean {
  return terminal.has(job.status);
}

/** Whether a container of the job's ever ran, and may have printed something. */
export function hasStarted(job: TrainingJob): boolean {
  return job.turns.some(({ status }) => status === "Training");
}

/** What a person should know of each of the service's secondary statuses. */
const words: Readonly<Record<string, string>> = {
  Starting: "SageMaker prepares the machine",
  LaunchingMLInstances: "SageMaker prepares the machine",
  PreparingTrainingStack: "SageMaker prepares the machine",
  Pending: "waiting for the machine",
  Downloading: "downloading data and image",
  DownloadingTrainingImage: "downloading data and image",
  Training: "training",
  Uploading: "uploading the model",
  Interrupted: "the spot machine was taken away; waiting for another",
  Restarting: "SageMaker starts the job again",
  Updating: "SageMaker updates the job",
  Stopping: "stopping",
  Stopped: "stopped",
  MaxRuntimeExceeded: "the time limit of the run is reached",
  MaxWaitTimeExceeded: "no spot machine came within the time limit",
  Completed: "completed",
  Failed: "failed",
};

/** The state of a job that goes on. */
export function liveStatus(job: TrainingJob, now: Date): TargetStatus {
  const told = { ...accounts(job, now), detail: words[job.secondary] ?? job.secondary };
  if (job.status === "Stopping") return { state: "stopping", ...told };
  const runs = ["Training", "Uploading"].includes(job.secondary);
  return { state: runs ? "running" : "starting", ...told };
}

/** How a job is over that did not tell its own end. */
export function endStatus(job: TrainingJob): TargetStatus {
  const told = accounts(job, job.endedAt);
  const outcome = outcomeOf(job);
  const detail = job.failure ?? words[job.secondary] ?? `SageMaker says ${job.status}`;
  return { state: "gone", ...told, detail, ...(outcome === undefined ? {} : { outcome }) };
}

/** A job that completed without a word of its supervisor's has shown no success. */
function outcomeOf({ status, secondary }: TrainingJob): Outcome | undefined {
  if (status === "Failed" || secondary === "MaxWaitTimeExceeded") return "failed";
  // Ended by the service's own limit: what was saved by then is there, and no more.
  if (status === "Stopped") return "stopped";
  return undefined;
}

function accounts(
  job: TrainingJob,
  until: Date | undefined,
): Pick<TargetStatus, "stages" | "billedSeconds" | "keptSeconds" | "machine" | "artifact"> {
  const billed = billedSeconds(job, until);
  return {
    stages: job.turns.map(({ status, at, endedAt }): Stage => ({
      name: status,
      startedAt: (at ?? new Date(0)).toISOString(),
      endedAt: endedAt?.toISOString() ?? null,
      text: words[status] ?? status,
    })),
    ...(billed === undefined ? {} : { billedSeconds: billed }),
    ...(job.keptSeconds === undefined ? {} : { keptSeconds: job.keptSeconds }),
    ...(job.instance !== "" && { machine: job.instance }),
    ...(job.artifact === undefined ? {} : { artifact: job.artifact }),
  };
}

/**
 * Seconds that are paid: the service's own count once it tells one, until then the time since the
 * machine began to download (waiting for a machine is free). On spot the service's count is smaller,
 * since the discount is in it: what is shown before is the most that it can be.
 */
function billedSeconds(job: TrainingJob, until: Date | undefined): number | undefined {
  if (job.billedSeconds !== undefined) return job.billedSeconds;
  const free = new Set(["Starting", "LaunchingMLInstances", "Pending", "Interrupted"]);
  let seconds = 0;
  for (const { status, at, endedAt } of job.turns) {
    const end = endedAt ?? until;
    if (free.has(status) || at === undefined || end === undefined) continue;
    seconds += Math.max(0, (end.getTime() - at.getTime()) / 1000);
  }
  return seconds;
}
