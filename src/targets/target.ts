import type { Attempt, TargetStatus } from "../run/attempt.ts";
import type { Check } from "../run/check.ts";
import type { RunEvent } from "../run/event.ts";
import type { Price } from "../run/cost.ts";
import type { RunStatus } from "../run/fold.ts";
import type { CloudSettings, Machine, Plan, TargetName } from "../run/plan.ts";

/** What a target can do; asked for by capability, never by the target's name. */
export interface Capabilities {
  readonly spot: boolean;
  readonly warmPool: boolean;
  readonly maxNodes: number;
  /** Costs money while it runs. */
  readonly paid: boolean;
  /** Runs live elsewhere: what they leave has to be fetched, and other machines may know more of them. */
  readonly remote: boolean;
  /** Can end an attempt at once, without a checkpoint. */
  readonly abort: boolean;
  /** How long to wait before asking it the same again, in milliseconds: at least, and at most. */
  readonly pollMs: readonly [least: number, most: number];
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
/** A run that a target knows of, whoever started it. */
export interface ListedRun {
  readonly run: string;
  /** The number of its newest attempt. */
  readonly attempt: number;
  /** When that attempt was started: UTC, RFC 3339. */
  readonly at: string;
  /** What the target says of it without looking closer. */
  readonly status: RunStatus;
}

export interface ListOptions {
  /** Only runs whose id has this text in it. */
  readonly contains?: string;
  /** The newest so many; `null` for all. */
  readonly limit: number | null;
}

/** What is kept of a run where it runs: enough to follow it from any machine. */
export interface KeptRun {
  readonly plan: Plan;
  /** Oldest first. */
  readonly attempts: readonly Attempt[];
}

/** A part of what a run leaves: its model or adapter, its newest whole checkpoint, the toy base model. */
export type Part = "artifact" | "checkpoint" | "base";

export interface Amount {
  readonly files: number;
  readonly bytes: number;
}

export interface Fetched extends Amount {
  /** Absolute. */
  readonly folder: string;
  /** What was here already, from an earlier try or because nothing was missing. */
  readonly resumedBytes: number;
}

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
  /** Asks the attempt to keep a checkpoint and end; `abort` ends it at once, without one, if the target can. */
  stop(ref: RunRef, how: "checkpoint" | "abort"): Promise<void>;
  outputs(ref: RunRef): Promise<Outputs>;
  /** The runs that it knows of, newest first, from whichever machine they were started. */
  list(options: ListOptions): Promise<readonly ListedRun[]>;
  /**
   * What it keeps of a run; undefined where it keeps nothing. What is known already is not read again.
   *
   * @throws E_RUN_FOLDER for what cannot be a run
   */
  record(run: string, known?: KeptRun): Promise<KeptRun | undefined>;
  /** What a list of runs needs of an attempt's events: all but the steps, of which the newest is enough. */
  milestones(ref: RunRef): Promise<readonly RunEvent[]>;
  /**
   * Brings a part of what the attempt left to this machine, checked: the folder appears whole, or
   * not at all. Broken off and called again it goes on where it was.
   *
   * @param folder of a checkpoint the folder that its own comes into
   * @param told how much the run has said that it left
   * @throws E_RUN_STATE where there is no such part, E_S3_CHANGED where it is not what was told
   */
  fetch(ref: RunRef, part: Part, folder: string, told?: Amount): Promise<Fetched>;
}
