// Checks rows in a thread of its own: see pool.ts.
import { parentPort, workerData } from "node:worker_threads";
import type { Unreadable } from "../read/unreadable.ts";
import type { Answer, Work, WorkerSettings } from "./pool.ts";
import { RowChecker } from "./row-checker.ts";

const { settings, lines: linesFile } = workerData as WorkerSettings;
const checker = new RowChecker(settings);
const port = parentPort!;

port.on("message", (work: Work) => {
  const given = "bytes" in work ? { bytes: work.bytes } : {};
  try {
    const { part, unreadable } =
      "bytes" in work
        ? { part: checker.checkParcel(work) }
        : checker.checkStretch(linesFile!, work);
    const { lines, identities, prompts, sketches, splitKeys, prefixes } = part;
    const arrays = [given.bytes, lines, identities, prompts, sketches, splitKeys, prefixes];
    const buffers = arrays.flatMap((array) => (array ? [array.buffer as ArrayBuffer] : []));
    port.postMessage({ part, ...plain(unreadable), ...given } satisfies Answer, buffers);
  } catch (error) {
    port.postMessage({ error, ...given } satisfies Answer);
  }
});

/** A class is lost on the way. */
function plain(error: Unreadable | undefined): Pick<Answer, "unreadable"> {
  if (error === undefined) return {};
  const { offset, message, hint } = error;
  return { unreadable: { offset, message, hint } };
}
