import type { View } from "../run/fold.ts";
import type { Context } from "./context.ts";
import { openRun, viewOf } from "./open.ts";

export interface ShowOptions {
  /** A run's id, or what no other begins or ends with. Default: the newest run. */
  readonly run?: string | undefined;
}

/**
 * The run as it is now.
 *
 * @throws MoxiError E_RUN_NOT_FOUND, E_RUN_FOLDER
 */
export async function show(context: Context, options: ShowOptions = {}): Promise<View> {
  return viewOf(await openRun(context, options.run));
}
