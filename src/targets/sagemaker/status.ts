import type { TrainingJob } from "../../aws/sagemaker.ts";
import type { TargetStatus } from "../../run/attempt.ts";

const terminal = new Set(["Completed", "Failed", "Stopped"]);

export function hasEnded(job: TrainingJob): boolean {
  return terminal.has(job.status);
}

/** Whether a container of the job's ever ran, and may have printed something. */
export function hasStarted(job: TrainingJob): boolean {
  return job.turns.some(({ status }) => status === "Training");
}

/** What a person should know beside the state. */
const details: Readonly<Record<string, string>> = {
  Starting: "SageMaker prepares the machine",
  Pending: "waiting for the machine",
  Downloading: "downloading data and image",
  Uploading: "uploading the model",
  Interrupted: "the spot machine was taken away; waiting for another",
  Restarting: "SageMaker starts the job again",
  Updating: "SageMaker updates the job",
};

/** The state of a job that goes on. */
export function liveStatus(job: TrainingJob): TargetStatus {
  const detail = details[job.secondary];
  const told = detail === undefined ? {} : { detail };
  if (job.status === "Stopping") return { state: "stopping", ...told };
  const runs = ["Training", "Uploading"].includes(job.secondary);
  return { state: runs ? "running" : "starting", ...told };
}

/** Why a job is over that did not tell its own end. */
export function endDetail(job: TrainingJob): string {
  if (job.failure !== undefined) return job.failure;
  if (job.secondary === "MaxRuntimeExceeded") return "the time limit of the run is reached";
  if (job.secondary === "MaxWaitTimeExceeded") return "no spot machine came within the time limit";
  return `SageMaker says ${job.secondary === "" ? job.status : job.secondary}`;
}
