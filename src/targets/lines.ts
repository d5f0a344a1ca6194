import { isRecord } from "../base/json.ts";
import type { Attempt } from "../run/attempt.ts";
import type { RunEvent } from "../run/event.ts";
import type { LogLine } from "./target.ts";

export interface Sorted {
  readonly events: readonly RunEvent[];
  readonly logs: readonly LogLine[];
}

/**
 * Tells the events from the log among the lines that a supervisor printed. A line is an event when
 * it begins with the attempt's nonce, which only the supervisor knows to write there; one that is
 * broken behind it was torn by a crash or a full disk, and is neither.
 */
export function sortLines(lines: readonly string[], { attempt, nonce }: Attempt): Sorted {
  const mark = `@moxi:${nonce} `;
  const events: RunEvent[] = [];
  const logs: LogLine[] = [];
  for (const line of lines) {
    if (line.startsWith(mark)) {
      const event = parseEvent(line.slice(mark.length));
      if (event?.attempt === attempt) events.push(event);
    } else if (line !== "") {
      logs.push({ attempt, text: line });
    }
  }
  return { events, logs };
}

/**
 * Reads a recorded event; undefined for a line that is none. The supervisor has checked the body:
 * only what a torn line can break is looked at again.
 */
export function parseEvent(text: string): RunEvent | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const isStamped =
    isRecord(value) &&
    value["v"] === 1 &&
    [value["attempt"], value["boot"], value["seq"]].every(Number.isSafeInteger) &&
    typeof value["type"] === "string";
  return isStamped ? (value as unknown as RunEvent) : undefined;
}
