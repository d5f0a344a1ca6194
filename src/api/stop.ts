import { MoxiError } from "../base/errors.ts";
import { hasEnded } from "../run/fold.ts";
import type { View } from "../run/fold.ts";
import type { Context } from "./context.ts";
import { openRun, viewOf } from "./open.ts";
import { watch } from "./watch.ts";

export interface StopOptions {
  /** A run's id, or what no other begins or ends with. Default: the newest run. */
  readonly run?: string | undefined;
  /** `checkpoint` (the default) saves first; `abort` ends the run as fast as its target can. */
  readonly how?: "checkpoint" | "abort" | undefined;
  /** Called when the run was found going on, before it is asked to end. */
  readonly onStopping?: (() => void) | undefined;
}

/**
 * Stops a run and waits until it has ended.
 *
 * @throws MoxiError E_RUN_NOT_FOUND, E_RUN_FOLDER, E_RUN_STATE when it had ended before
 */
export async function stop(context: Context, options: StopOptions = {}): Promise<View> {
  const opened = await openRun(context, options.run);
  let view = await viewOf(opened);
  if (hasEnded(view.status)) {
    const how = view.status === "interrupted" ? "was" : "has";
    throw new MoxiError("E_RUN_STATE", `${view.run} is not running: it ${how} ${view.status}`);
  }
  const { how = "checkpoint" } = options;
  options.onStopping?.();
  if (how === "abort") {
    const text = opened.target.capabilities.abort
      ? "it is ended at once, without a checkpoint"
      : `${opened.target.name} knows one way to end a job: two minutes for a checkpoint, which are paid`;
    context.host.notify({ type: "info", text });
  }
  await opened.target.stop(opened.refs.at(-1)!, how);
  for await (const update of watch(context, { run: view.run })) view = update.view;
  return view;
}
