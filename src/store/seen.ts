import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "../base/files.ts";
import { isRecord } from "../base/json.ts";
import type { TargetStatus } from "../run/attempt.ts";
import type { RunEvent } from "../run/event.ts";

/** What a list of runs has seen of a run whose newest attempt is over, and which nothing changes any more. */
export interface Seen {
  /** How many attempts there were. */
  readonly attempts: number;
  readonly status: TargetStatus;
  /** Without the steps, but for the newest. */
  readonly events: readonly RunEvent[];
}

/** Reads what was seen of a run that lives elsewhere; undefined where nothing was, or it is damaged. */
export async function readSeen(folder: string): Promise<Seen | undefined> {
  try {
    const value: unknown = JSON.parse(await readFile(fileOf(folder), "utf8"));
    const isSeen =
      isRecord(value) &&
      value["v"] === 1 &&
      isRecord(value["status"]) &&
      Array.isArray(value["events"]);
    return isSeen ? (value as unknown as Seen) : undefined;
  } catch {
    return undefined; // it is only a cache
  }
}

export async function writeSeen(folder: string, seen: Seen): Promise<void> {
  await writeFileAtomic(fileOf(folder), JSON.stringify({ v: 1, ...seen }));
}

function fileOf(folder: string): string {
  return join(folder, "seen.json");
}
