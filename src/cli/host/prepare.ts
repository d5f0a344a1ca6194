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

/** How long work that was interrupted may take to clean up. */
const graceMs = 2000;

/** Waits for work that comes before the run. Ctrl-C calls it back, and does not wait for it long. */
export async function prepare<T>(
  cli: Cli,
  presenter: Presenter,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const callBack = new AbortController();
  const interrupted = Promise.withResolvers<never>();
  const leave = () => {
    const hint = `${command} runs tells whether it has started`;
    interrupted.reject(new MoxiError("E_INTERRUPTED", "interrupted during preparation", { hint }));
  };
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
