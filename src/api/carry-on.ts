import { compareEvents } from "../run/event.ts";
import type { RunEvent } from "../run/event.ts";
import { nextMachine } from "../run/attempt.ts";
import type { View } from "../run/fold.ts";
import type { Context } from "./context.ts";
import { openRun } from "./open.ts";
import { resume } from "./resume.ts";
import { watch } from "./watch.ts";
import type { Update, WatchOptions } from "./watch.ts";

export interface CarryOnOptions extends WatchOptions {
  /** False once somebody has asked the run to end: no further machine is asked for then. */
  readonly isWanted?: (() => boolean) | undefined;
}

/**
 * Follows a run for whoever started it. Where no spot machine could be had and the plan names
 * others, the next attempt asks for the next of them, until one is there or all were asked for.
 * Nobody has to stay: `resume` takes the same step later.
 *
 * @throws MoxiError what `watch` and `resume` throw
 */
export async function* carryOn(
  context: Context,
  options: CarryOnOptions = {},
): AsyncGenerator<Update> {
  const { isWanted = () => true } = options;
  let told: RunEvent | undefined;
  for (let known = 0; ;) {
    let view: View | undefined;
    for await (const update of watch(context, options)) {
      view = update.view;
      // Each watching tells the story from its start.
      const events = update.events.filter((event) => !told || compareEvents(event, told) > 0);
      const logs = update.logs.filter(({ attempt }) => attempt > known);
      yield { view, events, logs };
      told = events.at(-1) ?? told;
    }
    if (view?.failure?.kind !== "no capacity" || options.signal?.aborted === true) return;
    // Whoever asked it to end while nobody had seen yet that it had failed asked in vain.
    if (!isWanted()) return;
    known = view.attempts.length;
    const { record } = await openRun(context, view.run);
    const next = nextMachine(record.plan, record.attempts.at(-1)!);
    if (next === undefined) return;
    const text = `${view.machine} could not be had; asking for ${next}`;
    context.host.notify({ type: "warning", text });
    await resume(context, { run: view.run, signal: options.signal });
    if (isWanted()) continue;
    const { target, refs } = await openRun(context, view.run);
    await target.stop(refs.at(-1)!, "checkpoint");
  }
}
