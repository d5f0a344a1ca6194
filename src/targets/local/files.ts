import { join } from "node:path";
import type { RunRef } from "../target.ts";

/** An attempt's own files. The run's folder is the ML root of bootstrap.py, which writes the first two. */
export interface AttemptFiles {
  /** All that the supervisor printed: events and log lines. */
  readonly log: string;
  /** The supervisor's and the trainer's processes. */
  readonly processes: string;
  /** Is there once a stop was asked. */
  readonly stop: string;
  /** Held while the attempt is being started. */
  readonly lock: string;
}

export function attemptFiles({ folder, attempt }: RunRef): AttemptFiles {
  const base = join(folder, "output", `attempt-${attempt.attempt}`);
  return {
    log: `${base}.log`,
    processes: `${base}.pid.json`,
    stop: `${base}.stop`,
    lock: `${base}.lock`,
  };
}
