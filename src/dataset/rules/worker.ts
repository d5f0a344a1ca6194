// Checks rows in a thread of its own: see pool.ts.
import { parentPort, workerData } from "node:worker_threads";
import type { Parcel } from "../read/parcel.ts";
import type { Answer } from "./pool.ts";
import { RowChecker } from "./row-checker.ts";
import type { CheckerSettings } from "./row-checker.ts";

const checker = new RowChecker(workerData as CheckerSettings);
const port = parentPort!;

port.on("message", (parcel: Parcel) => {
  const { bytes } = parcel;
  try {
    const part = checker.checkParcel(parcel);
    const { lines, identities, prompts, sketches, splitKeys, prefixes } = part;
    const arrays = [bytes, lines, identities, prompts, sketches, splitKeys, prefixes];
    const buffers = arrays.flatMap((array) =>
      array === null ? [] : [array.buffer as ArrayBuffer],
    );
    port.postMessage({ part, bytes } satisfies Answer, buffers);
  } catch (error) {
    port.postMessage({ error, bytes } satisfies Answer, [bytes.buffer]);
  }
});
