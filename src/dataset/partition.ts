import { hash } from "node:crypto";
import { isRecord } from "../base/json.ts";
import type { CanonicalRow } from "./canonical.ts";
import { field } from "./problem.ts";
import { splitKey } from "./split.ts";

/** Fields that tell whose a row is, in the order in which they count. */
export const groupFields = [
  "group",
  "conversation_id",
  "conversationId",
  "thread_id",
  "threadId",
  "session_id",
  "sessionId",
  "user_id",
  "userId",
  "user",
  "package",
  "package_name",
  "packageName",
  "repository",
  "repo",
] as const;

/** Answers of so few kinds are labels: each kind is held out in its share. */
const mostLabels = 50;
const longestLabel = 60;

/** What of a row decides on which side it is. */
export interface SplitRow {
  readonly key: bigint;
  /** The whole answer, if it may be a label. */
  readonly label: string | undefined;
}

/** `groupBy` null: no field groups the rows. */
export function splitRowOf(
  canonical: CanonicalRow,
  value: unknown,
  groupBy: string | null,
): SplitRow {
  const group = groupBy === null || !isRecord(value) ? undefined : field(value, groupBy);
  const key =
    typeof group === "string" || typeof group === "number"
      ? hash("sha256", `group:${group}`, "buffer").readBigUInt64BE()
      : splitKey(canonical);
  return { key, label: labelOf(canonical) };
}

function labelOf(row: CanonicalRow): string | undefined {
  const answer =
    "text" in row ? undefined : row.messages.findLast(({ role }) => role === "assistant");
  const text = answer?.content.trim();
  return text === undefined || text.length > longestLabel ? undefined : text;
}

export interface Partition {
  /** Keys of the rows that are held out. */
  readonly heldOut: ReadonlySet<bigint>;
  /** The labels by which it was stratified; 0 if the answers are no labels. */
  readonly labels: number;
}

/**
 * Chooses what is held out: rows of one key stay together, and where answers are labels, each label
 * gives its share. The same rows give the same choice, whatever their order: of each label, keys are
 * taken in ascending order (they are hashes) while their rows fit below the label's share.
 */
export function partition(rows: readonly SplitRow[], fraction: number): Partition {
  const labels = labelsOf(rows);
  // A key whose rows have several labels counts where most of its rows are, then the first by name.
  const tallies = new Map<bigint, Map<string, number>>();
  for (const { key, label } of rows) {
    const tally = tallies.get(key) ?? new Map<string, number>();
    tallies.set(key, tally);
    const name = labels === 0 ? "" : (label ?? "");
    tally.set(name, (tally.get(name) ?? 0) + 1);
  }
  const strata = new Map<string, { key: bigint; size: number }[]>();
  for (const [key, tally] of tallies) {
    const sorted = [...tally].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
    const size = sorted.reduce((sum, [, count]) => sum + count, 0);
    const name = sorted[0]![0];
    const stratum = strata.get(name) ?? [];
    strata.set(name, stratum);
    stratum.push({ key, size });
  }
  const heldOut = new Set<bigint>();
  for (const [, keys] of [...strata].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const all = keys.reduce((sum, { size }) => sum + size, 0);
    let room = Math.floor(fraction * all + 0.5);
    // One key alone cannot be on both sides: it is learned from.
    let left = keys.length - 1;
    for (const { key, size } of keys.sort((a, b) => (a.key < b.key ? -1 : 1))) {
      if (size > room || left === 0) continue;
      heldOut.add(key);
      room -= size;
      left -= 1;
    }
  }
  // So few rows that no share is a whole row: the smallest key, the first of equals.
  if (heldOut.size === 0 && fraction > 0 && tallies.size > 1) {
    const sizes = [...strata.values()].flat();
    sizes.sort((a, b) => a.size - b.size || (a.key < b.key ? -1 : 1));
    heldOut.add(sizes[0]!.key);
  }
  return { heldOut, labels };
}

function labelsOf(rows: readonly SplitRow[]): number {
  const seen = new Set<string>();
  for (const { label } of rows) {
    if (label === undefined) return 0;
    seen.add(label);
    if (seen.size > mostLabels) return 0;
  }
  // Answers that hardly come again are no labels.
  return seen.size > 1 && rows.length >= 4 * seen.size ? seen.size : 0;
}
