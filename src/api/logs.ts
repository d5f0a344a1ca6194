import { follow, readPages } from "../targets/follow.ts";
import type { LogLine } from "../targets/target.ts";
import type { Context } from "./context.ts";
import { openRun } from "./open.ts";

export interface LogsOptions {
  /** A run's id, or what no other begins or ends with. Default: the newest run. */
  readonly run?: string | undefined;
  /** Goes on until the run ends, instead of ending with the last line there is now. */
  readonly follow?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * What the run printed: every line that is no event, oldest first. It is foreign text.
 *
 * @throws MoxiError E_RUN_NOT_FOUND, E_RUN_FOLDER
 */
export async function* logs(context: Context, options: LogsOptions = {}): AsyncGenerator<LogLine> {
  const { target, refs } = await openRun(context, options.run);
  if (options.follow !== true) {
    for (const ref of refs) {
      for await (const page of readPages(target, ref)) yield* page.logs;
    }
    return;
  }
  const { clock } = context;
  for await (const news of follow(target, refs, { clock, signal: options.signal }))
    yield* news.logs;
}
