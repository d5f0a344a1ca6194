import type { TargetName } from "./plan.ts";

/** One line of `attempts.ndjson`: written by the submitter, before or when the provider accepts. */
export interface Attempt {
  readonly attempt: number;
  /** `<runId>-a<n>`: the provider's name and the client token. */
  readonly name: string;
  readonly target: TargetName;
  readonly at: string;
  readonly nonce: string;
}

/** What a target knows of an attempt right now. */
export interface TargetStatus {
  /** `gone`: it no longer runs and said no end. */
  readonly state: "starting" | "running" | "stopping" | "ended" | "gone";
  readonly detail?: string;
}

export function attemptName(run: string, attempt: number): string {
  return `${run}-a${attempt}`;
}
