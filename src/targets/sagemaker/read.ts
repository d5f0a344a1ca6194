import type { Logs } from "../../aws/logs.ts";
import type { Attempt } from "../../run/attempt.ts";
import { sortLines } from "../lines.ts";
import type { Cursor, Reading } from "../target.ts";

/** Every training job of an account and region prints here. */
const group = "/aws/sagemaker/TrainingJobs";
/** The supervisor says nothing after its end, but what its children print may come last. */
const tailLines = 20;

/** The streams of an attempt, oldest first: a machine that took over has one of its own. */
function streamsOf(logs: Logs, { name }: Attempt): Promise<string[]> {
  // With the slash, or job "a" would match "ab". The name ends in the time of its start.
  return logs.streams(group, `${name}/algo-1-`);
}

/** Where reading stands: the next page of each stream, and whether the events came from elsewhere. */
interface Places {
  readonly streams: Record<string, string>;
  readonly storyTold: boolean;
}

/** What the attempt has printed after the cursor, one page of a stream. */
export async function readLogs(
  logs: Logs,
  attempt: Attempt,
  cursor: Cursor | null,
): Promise<Reading> {
  const { streams: places, storyTold } = parseCursor(cursor);
  const lines: string[] = [];
  let start = 0;
  for (const stream of await streamsOf(logs, attempt)) {
    start += 1;
    const from = places[stream];
    const page = await logs.page(group, stream, from);
    places[stream] = page.next;
    lines.push(...page.lines);
    // The next stream's turn comes when this one has been read to its end, which an empty page is not.
    if (page.next !== from) break;
  }
  const told = sortLines(lines, attempt);
  // A machine that was taken away before S3 had heard of its start is not counted by the next one.
  const events = told.events.map((event) => ({ ...event, boot: Math.max(event.boot, start) }));
  return { ...told, events: storyTold ? [] : events, cursor: cursorOf(places, storyTold) };
}

/** Whether a first page holds the story's beginning: CloudWatch forgets what is old, if it is told to. */
export function isBeginning({ events }: Reading): boolean {
  return events[0]?.boot === 1 && events[0].seq === 1;
}

/** The story as somebody else has kept it; what CloudWatch still has of the log follows. */
export function toldElsewhere(events: Reading["events"]): Reading {
  return { events, logs: [], cursor: cursorOf({}, true) };
}

function cursorOf(streams: Places["streams"], storyTold: boolean): Cursor {
  return JSON.stringify(storyTold ? { streams, storyTold } : { streams });
}

/** Whether the attempt's own end has arrived; all that it said before has arrived then too. */
export async function endArrived(logs: Logs, attempt: Attempt): Promise<boolean> {
  const newest = (await streamsOf(logs, attempt)).at(-1);
  if (newest === undefined) return false;
  const { events } = sortLines(await logs.tail(group, newest, tailLines), attempt);
  return events.some(({ type }) => type === "end");
}

function parseCursor(cursor: Cursor | null): Places {
  if (cursor === null) return { streams: {}, storyTold: false };
  const { streams, storyTold = false } = JSON.parse(cursor) as Partial<Places>;
  return { streams: streams ?? {}, storyTold };
}
