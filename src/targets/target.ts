import type { Attempt, TargetStatus } from "../run/attempt.ts";
import type { Check } from "../run/check.ts";
import type { RunEvent } from "../run/event.ts";
import type { Price } from "../run/cost.ts";
import type { CloudSettings, Machine, Plan, TargetName } from "../run/plan.ts";

/** What a target can do; asked for by capability, never by the target's name. */
export interface Capabilities {
  readonly spot: boolean;
  readonly warmPool: boolean;
  readonly maxNodes: number;
  /** Costs money while it runs. */
  readonly paid: boolean;
  /** How long to wait before asking it the same again, in milliseconds. */
  readonly pollMs: number;
}

/** A run that trains, and where its folder is: it may belong to another project. */
export interface Occupant {
  readonly run: string;
  readonly folder: string;
}

/** A run's place on this machine and what its target needs to know of it. */
export interface RunRef {
  readonly run: string;
  /** The run's folder, absolute. */
  readonly folder: string;
  readonly plan: Plan;
  readonly attempt: Attempt;
}

/** An attempt with the files on this machine that it needs. */
export interface Submission extends RunRef {
  /** Canonical rows, as files on this machine. */
  readonly dataset: { readonly train: string; readonly eval: string | null };
  /** A base model that is a folder on this machine. */
  readonly modelFolder: string | null;
  /** The adapter to start from, on this machine; `null` also where an earlier attempt has it. */
  readonly adapterFolder: string | null;
}

/** An attempt that needs no file of this machine: it gets what an earlier one was submitted with. */
export interface Continuation extends RunRef {
  readonly kept: Kept;
}

/** Rows, code and models that lie where the target trains; opaque to everybody but that target. */
export type Kept = readonly { readonly name: string; readonly place: string }[];

/** Where reading goes on; opaque to everybody but the target that made it. */
export type Cursor = string;

/** A line that the job printed and that is no event. */
export interface LogLine {
  readonly attempt: number;
  readonly text: string;
}

export interface Reading {
  readonly events: readonly RunEvent[];
  readonly logs: readonly LogLine[];
  readonly cursor: Cursor;
}

/** A request as it would be sent. */
export interface PlannedRequest {
  readonly service: string;
  readonly operation: string;
  readonly input: Readonly<Record<string, unknown>>;
}

export interface Outputs {
  /** Where the artifact is: a folder, or an S3 address. */
  readonly artifact: string;
}

/** What planning asks of a target. */
export type Planned = Pick<Target, "machines" | "cloud" | "price">;

/** The seam between Moxi and the places where it trains. One conformance suite runs against all of them. */
export interface Target {
  readonly name: TargetName;
  readonly capabilities: Capabilities;
  /** Begins to ask what planning and the checks will want to know, while others read the dataset. */
  prepare(): void;
  /** The places to train on that this target offers. */
  machines(): Promise<readonly Machine[]>;
  /** What the plan keeps of the cloud where they are, for a model; `null` on this machine. */
  cloud(model?: { readonly gated: boolean }): Promise<CloudSettings | null>;
  /** What an hour costs at most; undefined where nothing is paid, or nobody knows. */
  price(place: Pick<Plan, "machine" | "cloud">): Promise<Price | undefined>;
  /** Everything that can be known before the start. */
  preflight(plan: Plan): Promise<readonly Check[]>;
  /** The run that keeps this target's only machine busy; `null` where another can start beside it. */
  occupant(): Promise<Occupant | null>;
  /** What these attempts of a run were submitted with, if it is still there: another needs no file of this machine then. */
  kept(attempts: readonly RunRef[]): Promise<Kept | null>;
  /** Starts the attempt. Idempotent: the attempt's name is the client token. */
  submit(submission: Submission | Continuation): Promise<void>;
  /** Every request that `submit` would send and that changes something, in order; sends none. */
  rehearse(submission: Submission): Promise<readonly PlannedRequest[]>;
  status(ref: RunRef): Promise<TargetStatus>;
  /**
   * Events and log lines after the cursor, in order; as many as fit into memory, so that a reader
   * goes on until the cursor stays the same. `null` reads from the attempt's start.
   */
  read(ref: RunRef, cursor: Cursor | null): Promise<Reading>;
  /** Asks the attempt to keep a checkpoint and end; `abort` ends it at once, without one. */
  stop(ref: RunRef, how: "checkpoint" | "abort"): Promise<void>;
  outputs(ref: RunRef): Promise<Outputs>;
}
