import type { Context } from "../../api/context.ts";
import { carryOn } from "../../api/carry-on.ts";
import { stop } from "../../api/stop.ts";
import { watch } from "../../api/watch.ts";
import { toMoxiError } from "../../base/errors.ts";
import { hasEnded } from "../../run/fold.ts";
import type { FailureKind } from "../../run/failure.ts";
import type { View } from "../../run/fold.ts";
import type { Terminal } from "../terminal.ts";
import type { Presenter } from "./presenter.ts";

export interface FollowOptions {
  readonly run: string | undefined;
  /** What Ctrl-C means: who started the run stops it, who only looks leaves. */
  readonly interrupt: "stop" | "leave";
}

/**
 * Follows a run to its end and returns the exit code: 0 when it succeeded, 1 when it failed, was
 * stopped or was interrupted, 130 when Ctrl-C here ended the run or the watching.
 */
export async function follow(
  context: Context,
  terminal: Terminal,
  presenter: Presenter,
  { run, interrupt }: FollowOptions,
): Promise<number> {
  const leave = new AbortController();
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
    if (interrupt === "leave" || presses > 2) leave.abort();
    else if (presses === 1) ask("checkpoint", "stopping: saving a checkpoint; Ctrl-C again aborts");
    else ask("abort", "aborting, without a checkpoint; Ctrl-C again leaves");
  });

  try {
    const tell = interrupt === "stop" ? carryOn : watch;
    for await (const update of tell(context, { run, signal: leave.signal })) {
      view = update.view;
      presenter.update(update);
    }
  } finally {
    forget();
    presenter.close();
  }
  if (view !== undefined && hasEnded(view.status)) {
    presenter.ended(view);
    return outcomeCode(view, presses > 0);
  }
  presenter.left(view?.run ?? run ?? "");
  return 130;
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
