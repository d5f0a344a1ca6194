import { isAbsolute } from "node:path";
import type { Context } from "../../api/context.ts";
import { carryOn } from "../../api/carry-on.ts";
import { stop } from "../../api/stop.ts";
import { watch } from "../../api/watch.ts";
import { toMoxiError } from "../../base/errors.ts";
import { hasEnded } from "../../run/fold.ts";
import type { FailureKind } from "../../run/failure.ts";
import type { View } from "../../run/fold.ts";
import { command, shortName } from "../render/words.ts";
import type { Terminal } from "../terminal.ts";
import type { Presenter } from "./presenter.ts";

export interface FollowOptions {
  readonly run: string | undefined;
  /** What Ctrl-C means: who started the run stops it, who only looks leaves. */
  readonly interrupt: "stop" | "leave";
  /** Brings the model of a run that has succeeded elsewhere to this machine. */
  readonly pull?: boolean;
}

/**
 * Follows a run to its end and returns the exit code: 0 when it succeeded, 1 when it failed, was
 * stopped or was interrupted, 130 when Ctrl-C here ended the run or the watching.
 */
export async function follow(
  context: Context,
  terminal: Terminal,
  presenter: Presenter,
  { run, interrupt, pull = false }: FollowOptions,
): Promise<number> {
  const leave = new AbortController();
  const left = new Promise<undefined>((done) =>
    leave.signal.addEventListener("abort", () => done(undefined)),
  );
  let presses = 0;
  let view: View | undefined;

  const ask = (how: "checkpoint" | "abort", text: string) => {
    presenter.notify({ type: "info", text });
    stop(context, { run: view?.run ?? run, how }).catch((reason: unknown) => {
      const error = toMoxiError(reason);
      // It ended before we could ask.
      if (error.code !== "E_RUN_STATE") presenter.notify({ type: "warning", text: error.message });
    });
  };
  const forget = terminal.onInterrupt(() => {
    presses += 1;
    const isOver = view !== undefined && hasEnded(view.status);
    if (interrupt === "leave" || isOver || presses > 2) leave.abort();
    else if (presses === 1)
      ask("checkpoint", "stopping: saving a checkpoint; Ctrl-C again asks for an end at once");
    else ask("abort", "asking for an end at once; Ctrl-C again leaves");
  });

  try {
    const tell = interrupt === "stop" ? carryOn : watch;
    const options = { run, signal: leave.signal, isWanted: () => presses === 0 };
    const updates = tell(context, options);
    // A provider that does not answer keeps nobody here.
    for (;;) {
      const next = await Promise.race([updates.next(), left]);
      if (next === undefined || next.done === true) break;
      view = next.value.view;
      presenter.update(next.value);
    }
    if (pull && view?.status === "succeeded") {
      view = await bringHome(context, presenter, view, left);
    }
  } finally {
    forget();
    presenter.close();
  }
  if (view !== undefined && hasEnded(view.status)) {
    presenter.ended(view);
    // What goes on with the fetching is left then.
    return pull && leave.signal.aborted ? 130 : outcomeCode(view, presses > 0);
  }
  presenter.left(view?.run ?? run ?? "", interrupt === "stop" && presses > 0);
  return 130;
}

/** Fetches the model. One that stays away is a warning: the run itself has succeeded. */
async function bringHome(
  context: Context,
  presenter: Presenter,
  view: View,
  left: Promise<undefined>,
): Promise<View> {
  const { run, artifact } = view;
  if (artifact === null || isAbsolute(artifact.path)) return view;
  try {
    const { pull } = await import("../../api/pull.ts");
    const pulled = await Promise.race([pull(context, { run }), left]);
    if (pulled !== undefined) return { ...view, artifact: { ...artifact, path: pulled.folder } };
    presenter.notify({ type: "warning", text: "the model was not brought here", hint: again(run) });
  } catch (reason) {
    const { message } = toMoxiError(reason);
    const text = `the model was not brought here: ${message}`;
    presenter.notify({ type: "warning", text, hint: again(run) });
  }
  return view;
}

function again(run: string): string {
  return `${command} pull ${shortName(run)} brings it; what is here is not fetched again`;
}

/** Of a failure that is not the training's own, the code says what has to be mended. */
const codes: Partial<Record<FailureKind, number>> = {
  "no capacity": 5,
  quota: 5,
  "gated model": 4,
  permissions: 4,
  service: 8,
};

function outcomeCode({ status, failure }: View, interrupted: boolean): number {
  if (status === "succeeded") return 0;
  if (interrupted) return 130;
  return (failure && codes[failure.kind]) ?? 1;
}
