import type { Price } from "./cost.ts";
import type { Outcome } from "./event.ts";
import type { Plan, TargetName } from "./plan.ts";

/** One line of `attempts.ndjson`: written by the submitter, before or when the provider accepts. */
export interface Attempt {
  readonly attempt: number;
  /** `<runId>-a<n>`: the provider's name and the client token. */
  readonly name: string;
  readonly target: TargetName;
  readonly at: string;
  readonly nonce: string;
  /**
   * When its target accepted it; `null` while nobody knows that it did, so that submitting it (again)
   * is right. Kept on the machine that submits only; absent elsewhere.
   */
  readonly submittedAt?: string | null;
  /** Seconds that it may take, where earlier attempts have used up a part of the run's limit. */
  readonly maxSeconds?: number;
  /** Seconds that the earlier attempts were billed, and their machines were kept. */
  readonly carriedSeconds?: number;
  /** The machine that it asks for, where the plan's own could not be had. */
  readonly machine?: string;
  /** What an hour of it costs at most, as it was known at the start. */
  readonly price?: Price;
}

/** What a target knows of an attempt right now. */
export interface TargetStatus {
  /** `gone`: it no longer runs and said no end. */
  readonly state: "starting" | "running" | "stopping" | "ended" | "gone";
  readonly detail?: string;
  /** How an attempt ended that said no end itself, where its target knows better than "interrupted". */
  readonly outcome?: Outcome;
  /** What the provider did with the attempt so far, oldest first. */
  readonly stages?: readonly Stage[];
  /** The machine that the provider chose. */
  readonly machine?: string;
  /** Seconds that are paid for so far: the provider's own count once it tells one. */
  readonly billedSeconds?: number;
  /** Seconds that its machine was kept and paid for after it, for the next job. */
  readonly keptSeconds?: number;
  /** Where the provider keeps the artifact, or will: an S3 address. */
  readonly artifact?: string;
}

/** One stage of an attempt in its provider's hands: waiting for a machine, downloading, training ... */
export interface Stage {
  readonly name: string;
  /** UTC, RFC 3339. */
  readonly startedAt: string;
  readonly endedAt: string | null;
  /** For people. */
  readonly text: string;
}

/** The machine that an attempt asks for. */
export function askedMachine(plan: Plan, attempt: Attempt): string {
  return attempt.machine ?? plan.machine.name;
}

/**
 * The machine that is asked for after one that could not be had: the next that the plan allows;
 * after the last, undefined. On demand the provider itself tries all of them.
 */
export function nextMachine(plan: Plan, attempt: Attempt): string | undefined {
  if (plan.cloud?.spot !== true) return undefined;
  const machines = [plan.machine.name, ...plan.cloud.fallbacks];
  return machines[machines.indexOf(askedMachine(plan, attempt)) + 1];
}

export function attemptName(run: string, attempt: number): string {
  return `${run}-a${attempt}`;
}
