import type { Attempt, Stage, TargetStatus } from "./attempt.ts";
import { costOf } from "./cost.ts";
import type { Cost } from "./cost.ts";
import { compareEvents } from "./event.ts";
import type {
  AlertEvent,
  ArtifactEvent,
  CheckpointEvent,
  DecisionEvent,
  EvalEvent,
  GenerationEvent,
  Outcome,
  PhaseEvent,
  RunEvent,
  StepEvent,
} from "./event.ts";
import { failureOf } from "./failure.ts";
import type { Failure } from "./failure.ts";
import type { Plan } from "./plan.ts";

export type RunStatus =
  | "starting"
  | "running"
  | "stopping"
  | "succeeded"
  | "failed"
  | "stopped"
  | "interrupted";

export interface AttemptView {
  readonly attempt: number;
  readonly name: string;
  readonly startedAt: string;
  readonly endedAt: string | null;
  readonly boots: number;
  readonly outcome: Outcome | "interrupted" | null;
  readonly exitCode: number | null;
  readonly error: string | null;
}

/** The run as people see it. Derived from the run's files and the target's answer, never stored. */
export interface View {
  readonly formatVersion: 1;
  readonly run: string;
  readonly status: RunStatus;
  readonly target: string;
  readonly machine: string;
  readonly model: string;
  readonly method: string;
  readonly rows: { readonly train: number; readonly eval: number };
  readonly planHash: string;
  readonly recipeHash: string;
  readonly startedAt: string | null;
  readonly endedAt: string | null;
  readonly phase: Pick<PhaseEvent, "name" | "detail"> | null;
  /** What the newest attempt's provider did so far; empty on this machine. */
  readonly stages: readonly Stage[];
  /** What the provider says of the newest attempt now, or why it is over. */
  readonly detail: string | null;
  /** What has been spent so far; `null` where nothing is. */
  readonly cost: Cost | null;
  readonly progress: {
    readonly step: number;
    readonly steps: number;
    readonly epoch: number;
    readonly epochs: number;
    readonly tokens: number;
    readonly tokensPerSecond: number | null;
    /** What the remaining steps take at the pace so far; `null` before the second step or after the end. */
    readonly etaSeconds: number | null;
  } | null;
  /** Held-out loss in nats per answer token: before training, newest, lowest. */
  readonly heldOutLoss: {
    readonly first: number | null;
    readonly last: number | null;
    readonly best: number | null;
  };
  /** The step whose weights the artifact holds, once that is decided. */
  readonly keptStep: number | null;
  readonly steps: readonly StepEvent[];
  readonly evals: readonly EvalEvent[];
  readonly generations: readonly GenerationEvent[];
  readonly checkpoint: CheckpointEvent | null;
  /** The plan's, then the trainer's. */
  readonly decisions: readonly DecisionEvent[];
  readonly alerts: readonly AlertEvent[];
  readonly attempts: readonly AttemptView[];
  readonly artifact: (Omit<ArtifactEvent, "type"> & { readonly path: string }) | null;
  /** Why the newest attempt failed. */
  readonly error: string | null;
  /** What kind of failure that is, and what to change. */
  readonly failure: Failure | null;
}

export interface FoldInput {
  readonly run: string;
  readonly plan: Plan;
  readonly attempts: readonly Attempt[];
  /** In the order (attempt, boot, seq); repeats are ignored. */
  readonly events: readonly RunEvent[];
  /** Of the newest attempt; undefined before the target was asked. */
  readonly status?: TargetStatus | undefined;
  /** Where the artifact lies when there is one. */
  readonly artifactPath: string;
}

/** Makes the view that every host renders. Pure: the same input gives the same view. */
export function fold(input: FoldInput): View {
  const { plan, attempts } = input;
  let steps: StepEvent[] = [];
  let evals: EvalEvent[] = [];
  let generations: GenerationEvent[] = [];
  let checkpoint: CheckpointEvent | null = null;
  let artifact: ArtifactEvent | null = null;
  let phase: PhaseEvent | null = null;
  const decisions = new Map<string, DecisionEvent>(
    plan.decisions.map((decision) => [decision.name, { type: "decision", ...decision }]),
  );
  const alerts = new Map<string, AlertEvent>();
  const byAttempt = new Map<number, { -readonly [K in keyof AttemptView]: AttemptView[K] }>();
  for (const attempt of attempts) {
    byAttempt.set(attempt.attempt, {
      attempt: attempt.attempt,
      name: attempt.name,
      startedAt: attempt.at,
      endedAt: null,
      boots: 0,
      outcome: null,
      exitCode: null,
      error: null,
    });
  }

  let previous: RunEvent | undefined;
  for (const event of input.events) {
    if (previous !== undefined && compareEvents(event, previous) <= 0) continue;
    previous = event;
    const attempt = byAttempt.get(event.attempt);
    if (attempt !== undefined) {
      attempt.boots = Math.max(attempt.boots, event.boot);
      if (event.seq === 1 && event.boot > 1)
        attempt.outcome = attempt.endedAt = attempt.exitCode = attempt.error = null;
    }
    const { v: _v, run: _run, attempt: _attempt, boot: _boot, seq: _seq, at, ...body } = event;
    switch (body.type) {
      case "phase":
        phase = body;
        break;
      case "decision":
        decisions.set(body.name, body);
        break;
      case "step":
        steps.push(body);
        break;
      case "eval":
        evals.push(body);
        break;
      case "generation":
        generations.push(body);
        break;
      case "checkpoint":
        checkpoint = body;
        break;
      case "resumed":
        steps = steps.filter((item) => item.step <= body.fromStep);
        evals = evals.filter((item) => item.step <= body.fromStep);
        generations = generations.filter((item) => item.step <= body.fromStep);
        break;
      case "alert":
        alerts.set(body.code, body);
        break;
      case "artifact":
        artifact = body;
        break;
      case "heartbeat":
        break;
      case "end":
        if (attempt !== undefined) {
          attempt.outcome = body.outcome;
          attempt.endedAt = at;
          attempt.exitCode = body.exitCode;
          attempt.error = body.error ?? null;
        }
        break;
    }
  }

  const newest = attempts.at(-1);
  const newestView = newest === undefined ? undefined : byAttempt.get(newest.attempt);
  // An attempt that was followed by another, or that its target no longer knows, ended without a word.
  for (const view of byAttempt.values()) {
    const gone =
      view !== newestView || input.status?.state === "gone" || input.status?.state === "ended";
    const told = view === newestView ? input.status : undefined;
    // A job can fail after its container told of success: the artifact was not brought to safety.
    const lost = view.outcome === "succeeded" && told?.outcome === "failed";
    if (!gone || (view.outcome !== null && !lost)) continue;
    view.outcome = told?.outcome ?? "interrupted";
    if (view.outcome === "failed") view.error = told?.detail ?? null;
  }
  const status = runStatus(newestView, input.status);
  const losses = evals.map((item) => item.loss).filter((loss) => loss !== null);
  const before = evals.find((item) => item.step === 0);
  const last = steps.at(-1);
  const ended = status !== "starting" && status !== "running" && status !== "stopping";
  return {
    formatVersion: 1,
    run: input.run,
    status,
    target: plan.target,
    machine: input.status?.machine ?? newest?.machine ?? plan.machine.name,
    model: plan.recipe.model.id,
    method: plan.recipe.method,
    rows: { train: plan.recipe.dataset.trainRows, eval: plan.recipe.dataset.evalRows },
    planHash: plan.planHash,
    recipeHash: plan.recipeHash,
    startedAt: attempts[0]?.at ?? null,
    endedAt: ended ? (newestView?.endedAt ?? previous?.at ?? null) : null,
    phase: phase === null ? null : pickPhase(phase),
    stages: input.status?.stages ?? [],
    detail: input.status?.detail ?? null,
    cost: costSoFar(newest, input.status),
    progress:
      last === undefined
        ? null
        : {
            step: last.step,
            steps: last.steps,
            epoch: last.epoch,
            epochs: plan.recipe.training.epochs,
            tokens: last.tokens,
            tokensPerSecond: meanTokensPerSecond(steps),
            etaSeconds: ended ? null : etaSeconds(steps),
          },
    heldOutLoss: {
      first: before?.loss ?? null,
      last: evals.at(-1)?.loss ?? null,
      best: losses.length === 0 ? null : Math.min(...losses),
    },
    keptStep: keptStep(decisions.get("kept step")),
    steps: steps,
    evals: evals,
    generations: generations,
    checkpoint: checkpoint,
    decisions: [...decisions.values()],
    alerts: [...alerts.values()],
    attempts: [...byAttempt.values()],
    artifact:
      artifact === null || status !== "succeeded"
        ? null
        : {
            kind: artifact.kind,
            files: artifact.files,
            bytes: artifact.bytes,
            path: input.artifactPath,
          },
    error: newestView?.error ?? null,
    failure:
      status !== "failed" || !newestView?.error
        ? null
        : failureOf(newestView.error, {
            run: input.run,
            machine: plan.machine.name,
            paid: plan.cloud !== null,
          }),
  };
}

/** True when nothing more will happen unless the user resumes. */
export function hasEnded(status: RunStatus): boolean {
  return status !== "starting" && status !== "running" && status !== "stopping";
}

function runStatus(newest: AttemptView | undefined, target: TargetStatus | undefined): RunStatus {
  if (newest?.outcome != null) return newest.outcome;
  if (target?.state === "stopping") return "stopping";
  return newest === undefined || newest.boots === 0 ? "starting" : "running";
}

function costSoFar(newest: Attempt | undefined, status: TargetStatus | undefined): View["cost"] {
  if (newest?.price === undefined) return null;
  const { billedSeconds = 0, keptSeconds = 0 } = status ?? {};
  const seconds = (newest.carriedSeconds ?? 0) + billedSeconds + keptSeconds;
  return { ...newest.price, seconds, usd: costOf(newest.price, seconds) };
}

function keptStep(decision: DecisionEvent | undefined): number | null {
  return typeof decision?.value === "number" ? decision.value : null;
}

function pickPhase(phase: PhaseEvent): Pick<PhaseEvent, "name" | "detail"> {
  return phase.detail === undefined
    ? { name: phase.name }
    : { name: phase.name, detail: phase.detail };
}

/** Over the last 20 steps: one step is too noisy to show. */
function meanTokensPerSecond(steps: readonly StepEvent[]): number | null {
  const known = steps.slice(-20).filter((item) => item.tokensPerSecond !== null);
  const seconds = known.reduce((sum, item) => sum + item.seconds, 0);
  if (seconds <= 0) return null;
  return known.reduce((sum, item) => sum + item.tokensPerSecond! * item.seconds, 0) / seconds;
}

function etaSeconds(steps: readonly StepEvent[]): number | null {
  const last = steps.at(-1);
  const recent = steps.slice(-50);
  if (last === undefined || recent.length < 2) return null;
  return (
    (recent.reduce((sum, item) => sum + item.seconds, 0) / recent.length) * (last.steps - last.step)
  );
}
