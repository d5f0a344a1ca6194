import { MoxiError } from "../../base/errors.ts";
import type { Cli } from "../cli.ts";
import { command } from "../render/words.ts";
import { jsonPresenter } from "./json.ts";
import { peoplePresenter } from "./people.ts";
import type { Presenter } from "./presenter.ts";

/** Shows a run to people, or with `--json` to programs. */
export function presenterFor(cli: Cli, flags: { readonly json: boolean }): Presenter {
  if (flags.json) return jsonPresenter(cli.terminal.out);
  const { cwd, clock } = cli.context();
  return peoplePresenter(cli.terminal, { cwd, now: () => clock.now().getTime() });
}

/** What Ctrl-C means for the work that comes before a run. */
const preparation = {
  message: "interrupted during preparation",
  hint: `${command} runs tells whether it has started`,
  /** How long work that was interrupted may take to clean up. */
  graceMs: 2000,
};

/** Waits for work that Ctrl-C calls back, and does not wait long for its end. */
export async function prepare<T>(
  cli: Cli,
  presenter: Presenter,
  work: (signal: AbortSignal) => Promise<T>,
  interruption = preparation,
): Promise<T> {
  const callBack = new AbortController();
  const interrupted = Promise.withResolvers<never>();
  const { message, hint, graceMs } = interruption;
  const leave = () => interrupted.reject(new MoxiError("E_INTERRUPTED", message, { hint }));
  const forget = cli.terminal.onInterrupt(() => {
    callBack.abort();
    void cli.context().clock.sleep(graceMs).then(leave);
  });
  try {
    return await Promise.race([work(callBack.signal), interrupted.promise]);
  } catch (error) {
    presenter.close();
    throw error;
  } finally {
    forget();
  }
}
