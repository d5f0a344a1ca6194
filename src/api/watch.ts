import type { RunEvent } from "../run/event.ts";
import type { View } from "../run/fold.ts";
import { follow } from "../targets/follow.ts";
import type { LogLine } from "../targets/target.ts";
import type { Context } from "./context.ts";
import { foldRun, openRun } from "./open.ts";

/** What is new since the last update, and the view with it. */
export interface Update {
  readonly view: View;
  readonly events: readonly RunEvent[];
  readonly logs: readonly LogLine[];
}

export interface WatchOptions {
  /** A run's id, or what no other begins or ends with. Default: the newest run. */
  readonly run?: string | undefined;
  /** Ends the watching, never the run. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Tells a run's story from its first event, then follows it live until it ends. Any number of
 * watchers see the same story; leaving changes nothing.
 *
 * @throws MoxiError E_RUN_NOT_FOUND, E_RUN_FOLDER
 */
export async function* watch(context: Context, options: WatchOptions = {}): AsyncGenerator<Update> {
  const { record, target, refs } = await openRun(context, options.run);
  const { clock } = context;
  const events: RunEvent[] = [];
  for await (const news of follow(target, refs, { clock, signal: options.signal })) {
    events.push(...news.events);
    const view = foldRun(record, events, news.status);
    yield { view, events: news.events, logs: news.logs };
  }
}
