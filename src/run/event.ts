/** What the supervisor stamps on every event. Order and identity are (attempt, boot, seq), never `at`. */
export interface Stamp {
  readonly v: 1;
  readonly run: string;
  readonly attempt: number;
  /** A start of the supervisor inside the attempt: 1, 2, ... */
  readonly boot: number;
  /** 1, 2, ... within a boot. */
  readonly seq: number;
  /** UTC, RFC 3339 with milliseconds. */
  readonly at: string;
}

export type PhaseName = "waiting" | "starting" | "data" | "model" | "training" | "saving";

/** The run enters a phase. */
export interface PhaseEvent {
  readonly type: "phase";
  readonly name: PhaseName;
  readonly detail?: string;
}

/** A value that the trainer derived, with its reason; once each. */
export interface DecisionEvent {
  readonly type: "decision";
  readonly name: string;
  readonly value: string | number | boolean | null;
  readonly reason: string;
}

/** One optimizer step. */
export interface StepEvent {
  readonly type: "step";
  readonly step: number;
  readonly steps: number;
  /** Epochs done, as a fraction. */
  readonly epoch: number;
  /** Mean cross-entropy per trained token of this step, in nats. `null` when not finite. */
  readonly loss: number | null;
  readonly learningRate: number;
  /** L2 norm before clipping. `null` when not finite or not known. */
  readonly gradNorm: number | null;
  /** Non-padding tokens seen by this attempt and those it resumed from. */
  readonly tokens: number;
  /** Non-padding tokens a second, over this step. */
  readonly tokensPerSecond: number | null;
  /** Peak memory of the process (CPU) or of the device (GPU), in bytes. */
  readonly memoryBytes: number;
  /** Wall time of this step, in seconds. */
  readonly seconds: number;
}

/** The held-out rows were scored; step 0 is before training. */
export interface EvalEvent {
  readonly type: "eval";
  readonly step: number;
  /** Mean cross-entropy per trained token over the held-out rows, in nats. `null` when not finite. */
  readonly loss: number | null;
  readonly rows: number;
  /** Answer tokens scored. */
  readonly tokens: number;
  readonly seconds: number;
}

/** A fixed prompt was answered; step 0 is before training. */
export interface GenerationEvent {
  readonly type: "generation";
  readonly step: number;
  readonly index: number;
  readonly prompt: string;
  readonly text: string;
}

/** A complete checkpoint is on disk. */
export interface CheckpointEvent {
  readonly type: "checkpoint";
  readonly step: number;
  /** Its folder's name below `checkpoints/`. */
  readonly name: string;
  readonly bytes: number;
}

/** Training goes on from a checkpoint: later steps of earlier boots no longer count. */
export interface ResumedEvent {
  readonly type: "resumed";
  readonly fromStep: number;
}

/** Something that the user should know, in plain words; each code once a boot. */
export interface AlertEvent {
  readonly type: "alert";
  readonly level: "info" | "warning" | "error";
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
}

/** The artifact is complete under `model/`. */
export interface ArtifactEvent {
  readonly type: "artifact";
  readonly kind: "model" | "adapter";
  readonly files: number;
  readonly bytes: number;
}

/** Nothing else was said for a while, and the trainer still runs. */
export interface HeartbeatEvent {
  readonly type: "heartbeat";
}

export type Outcome = "succeeded" | "failed" | "stopped";

/** The last event of an attempt; only the supervisor says it. */
export interface EndEvent {
  readonly type: "end";
  readonly outcome: Outcome;
  readonly exitCode: number;
  /** On failure: the exception's last line first, at most 1024 characters. */
  readonly error?: string;
}

export type EventBody =
  | PhaseEvent
  | DecisionEvent
  | StepEvent
  | EvalEvent
  | GenerationEvent
  | CheckpointEvent
  | ResumedEvent
  | AlertEvent
  | ArtifactEvent
  | HeartbeatEvent
  | EndEvent;

/** One line of the run's story. */
export type RunEvent = Stamp & EventBody;

/** Negative, zero or positive as `a` comes before, is, or comes after `b`. */
export function compareEvents(a: Stamp, b: Stamp): number {
  return a.attempt - b.attempt || a.boot - b.boot || a.seq - b.seq;
}
