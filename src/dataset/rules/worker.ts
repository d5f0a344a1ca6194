// Checks rows in a thread of its own: see pool.ts.
import { parentPort, workerData } from "node:worker_threads";
import { Unreadable } from "../read/unreadable.ts";
import type { Answer, Work, WorkerSettings } from "./pool.ts";
import { RowChecker } from "./row-checker.ts";

const { settings, lines } = workerData as WorkerSettings;
const checker = new RowChecker(settings);
const port = parentPort!;

port.on("message", (work: Work) => {
  const given = "bytes" in work ? { bytes: work.bytes } : {};
  try {
    const part = "bytes" in work ? checker.checkParcel(work) : checker.checkStretch(lines!, work);
    const { lines: numbers, identities, prompts, sketches, splitKeys, prefixes } = part;
    const arrays = [given.bytes, numbers, identities, prompts, sketches, splitKeys, prefixes];
    const buffers = arrays.flatMap((array) => (array ? [array.buffer as ArrayBuffer] : []));
    port.postMessage({ part, ...given } satisfies Answer, buffers);
  } catch (error) {
    // A class is lost on the way.
    const { offset, message, hint } = error instanceof Unreadable ? error : {};
    const unreadable = offset === undefined ? undefined : { offset, message: message!, hint };
    port.postMessage({ error, unreadable, ...given } satisfies Answer);
  }
});
