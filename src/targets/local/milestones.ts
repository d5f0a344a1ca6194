import { readFileSync } from "node:fs";
import type { RunEvent } from "../../run/event.ts";
import { parseEvent } from "../lines.ts";
import type { RunRef } from "../target.ts";
import { attemptFiles } from "./files.ts";

/** The events of an attempt that a list of runs needs: all but the steps, of which the newest is enough. */
export function milestones(ref: RunRef): RunEvent[] {
  const { attempt, nonce } = ref.attempt;
  const mark = `@moxi:${nonce} `;
  const lines = logText(ref)
    .split("\n")
    .slice(0, -1) // after the last line end: nothing, or a line that is still being written
    .flatMap((line) => (line.startsWith(mark) ? line.slice(mark.length) : []));
  const isStep = (line: string) => /"type": ?"step"/.test(line);
  const lastStep = lines.findLastIndex(isStep);
  return lines
    .filter((line, index) => index === lastStep || !isStep(line))
    .flatMap((line) => parseEvent(Buffer.from(line, "latin1").toString()) ?? [])
    .filter((event) => event.attempt === attempt);
}

/** The log that `show` reads too, as bytes: only the few lines that are needed are worth decoding. */
function logText(ref: RunRef): string {
  try {
    return readFileSync(attemptFiles(ref).log, "latin1");
  } catch {
    return ""; // it has said nothing yet
  }
}
