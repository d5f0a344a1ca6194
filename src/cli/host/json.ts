import type { Output } from "../terminal.ts";
import type { Presenter } from "./presenter.ts";

/** One JSON value on one line of its own. */
export function writeJson(out: Output, value: unknown): void {
  out.write(`${JSON.stringify(value)}\n`);
}

/**
 * Shows a run to programs, one JSON object a line: notices of the preparation, `started`, then the
 * events exactly as they were stamped, and last the `result` with the whole view. From the first
 * event on the lines depend on the run alone, so that two watchers print the same.
 */
export function jsonPresenter(out: Output): Presenter {
  return {
    notify: (notice) => writeJson(out, { type: "notice", formatVersion: 1, notice }),
    started: ({ how, run, previous }) =>
      writeJson(out, { type: "started", formatVersion: 1, how, run, previous }),
    update({ events }) {
      for (const event of events) writeJson(out, event);
    },
    ended: (view) => writeJson(out, { type: "result", formatVersion: 1, view }),
    left() {},
    close() {},
  };
}
