// Checks rows in a thread of its own: see pool.ts.
import { parentPort, workerData } from "node:worker_threads";
import type { Frame } from "../read/frame.ts";
import type { Answer, Parcel } from "./pool.ts";
import { RowChecker } from "./row-checker.ts";
import type { CheckerSettings, PartResult } from "./row-checker.ts";

const checker = new RowChecker(workerData as CheckerSettings);
const port = parentPort!;

port.on("message", ({ bytes, ends, lines, offsets }: Parcel) => {
  const all = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const frames: Frame[] = Array.from(ends, (end, index) => ({
    bytes: all.subarray(index === 0 ? 0 : ends[index - 1], end),
    offset: offsets[index]!,
    line: lines[index]!,
  }));
  try {
    const part = plain(checker.checkFrames(frames));
    const { identities, prompts, sketches, splitKeys } = part;
    const arrays = [bytes, part.lines, identities, prompts, sketches, splitKeys];
    const buffers = arrays.flatMap((array) =>
      array === null ? [] : [array.buffer as ArrayBuffer],
    );
    port.postMessage({ part, bytes } satisfies Answer, buffers);
  } catch (error) {
    port.postMessage({ error, bytes } satisfies Answer, [bytes.buffer]);
  }
});

/** Without its class, which does not travel. */
function plain(part: PartResult): PartResult {
  return { ...part, counts: part.counts, places: part.places };
}
