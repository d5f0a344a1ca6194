import type { TargetStatus } from "../run/attempt.ts";
import type { RunEvent } from "../run/event.ts";
import type { Cursor, LogLine, Reading, RunRef, Target } from "./target.ts";

/** What is new of a run. */
export interface News {
  readonly events: readonly RunEvent[];
  readonly logs: readonly LogLine[];
  /**
   * Of the newest attempt; undefined while the past is still being told. An end is told after all
   * that was said before it.
   */
  readonly status: TargetStatus | undefined;
}

export interface FollowOptions {
  readonly clock: { sleep(milliseconds: number, signal?: AbortSignal): Promise<void> };
  /** Ends the following, never the run. */
  readonly signal?: AbortSignal | undefined;
  /** 0 to 1, for the pauses: many watchers must not ask at the same instant. */
  readonly random?: () => number;
}

/**
 * Tells a run's whole story, attempt after attempt, then goes on live until the newest attempt has
 * ended or is gone. The only loop that watches; whoever starts it late gets everything from the
 * first line, and any number of them get the same.
 */
export async function* follow(
  target: Target,
  attempts: readonly RunRef[],
  { clock, signal, random = Math.random }: FollowOptions,
): AsyncGenerator<News> {
  const newest = attempts.at(-1);
  if (newest === undefined) return;
  for (const earlier of attempts.slice(0, -1)) {
    for await (const { events, logs } of readPages(target, earlier)) {
      yield { events, logs, status: undefined };
    }
  }
  let cursor: Cursor | null = null;
  let told: TargetStatus | undefined;
  while (signal?.aborted !== true) {
    // The status comes first: what is read after an attempt has ended is all that it said.
    const status = await target.status(newest);
    for await (const page of readPages(target, newest, cursor)) {
      cursor = page.cursor;
      yield { events: page.events, logs: page.logs, status: told };
    }
    const { state, detail, billedSeconds } = status;
    if (state !== told?.state || detail !== told.detail || billedSeconds !== told.billedSeconds) {
      yield { events: [], logs: [], status };
    }
    if (state === "ended" || state === "gone") return;
    told = status;
    const [least, most] = target.capabilities.pollMs;
    await clock.sleep(least + random() * (most - least), signal);
  }
}

/** Everything that an attempt has said after the cursor, in pages that fit into memory. */
export async function* readPages(
  target: Target,
  attempt: RunRef,
  cursor: Cursor | null = null,
): AsyncGenerator<Reading> {
  for (;;) {
    const page = await target.read(attempt, cursor);
    if (page.cursor === cursor) return;
    cursor = page.cursor;
    if (page.events.length > 0 || page.logs.length > 0) yield page;
  }
}
