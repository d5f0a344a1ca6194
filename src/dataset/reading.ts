import { formatBytes, formatCount, formatDuration } from "../base/format.ts";
import type { Host } from "../base/host.ts";
import type { Source } from "./read/source.ts";

/** From this size on, reading takes long enough to show. */
const bigBytes = 50_000_000;

export interface Reading {
  /** So many rows of the file are done. */
  rows(count: number): void;
  done(count: number): void;
}

/** Tells the host how far a big file is, how fast it goes and how long it will take. */
export function readingOf(
  source: Source,
  host: Host,
  verb: string,
  [from, to]: readonly [number, number] = [0, 1],
): Reading {
  if (source.bytes <= bigBytes) return { rows() {}, done() {} };
  const started = performance.now();
  let told = 0;
  const notify = (state: "started" | "progress" | "done", text: string, fraction: number) =>
    host.notify({ type: "task", id: "dataset", state, text, fraction });
  if (from === 0) notify("started", `${verb} ${source.name} (${formatBytes(source.bytes)})`, 0);
  return {
    rows(count) {
      const part = Math.min(1, source.bytesRead / source.bytes);
      if (part - told < 0.01) return;
      told = part;
      const seconds = (performance.now() - started) / 1000;
      const rate = seconds < 0.5 ? "" : `, ${formatBytes(source.bytesRead / seconds)}/s`;
      const left = (seconds * (1 - part)) / part;
      const eta = seconds < 1 || left < 1 ? "" : `, about ${formatDuration(left)} left`;
      const text = `${verb} ${source.name}: ${formatCount(count)} rows${rate}${eta}`;
      notify("progress", text, from + (to - from) * part);
    },
    done(count) {
      if (to === 1) notify("done", `${source.name}: ${formatCount(count)} rows`, 1);
    },
  };
}
