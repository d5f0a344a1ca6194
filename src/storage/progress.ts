import { formatBytes, formatDuration } from "../base/format.ts";
import type { Host } from "../base/host.ts";

export interface Progress {
  add(bytes: number): void;
  done(text: string): void;
}

export interface ProgressOptions {
  readonly host: Host;
  /** The task's id: "upload", "download". */
  readonly id: string;
  /** What is moved, in words: "train.jsonl", "12 files". */
  readonly what: string;
  readonly totalBytes: number;
  /** Milliseconds, of any origin. */
  readonly now: () => number;
  /** When the first byte was asked for, where that was before the total was known. */
  readonly since?: number;
}

const everyMs = 200;
/** The rate is that of the newest seconds: a network changes. */
const windowMs = 5000;

/** Tells a host how far a transfer is: bytes, bytes a second, what is left. */
export function startProgress(options: ProgressOptions): Progress {
  const { host, id, what, totalBytes, now, since = now() } = options;
  let moved = 0;
  let told = -Infinity;
  const samples: (readonly [at: number, bytes: number])[] = [[since, 0]];
  host.notify({ type: "task", id, state: "started", text: `${what}, ${formatBytes(totalBytes)}` });
  return {
    add(bytes) {
      moved = Math.min(totalBytes, moved + bytes);
      const at = now();
      if (at - told < everyMs || totalBytes === 0) return;
      told = at;
      samples.push([at, moved]);
      while (samples.length > 2 && at - samples[0]![0] > windowMs) samples.shift();
      const [start, before] = samples[0]!;
      const rate = at > start ? ((moved - before) * 1000) / (at - start) : 0;
      const left = rate > 0 ? (totalBytes - moved) / rate : undefined;
      const facts = [
        `${formatBytes(moved)} of ${formatBytes(totalBytes)}`,
        rate > 0 ? `${formatBytes(rate)}/s` : "",
        left === undefined || left < 1 ? "" : `${formatDuration(left)} left`,
      ];
      host.notify({
        type: "task",
        id,
        state: "progress",
        text: `${what}: ${facts.filter((fact) => fact !== "").join(" · ")}`,
        fraction: moved / totalBytes,
        transfer: {
          bytes: moved,
          totalBytes,
          bytesPerSecond: Math.round(rate),
          secondsLeft: left === undefined ? null : Math.round(left),
        },
      });
    },
    done: (text) => host.notify({ type: "task", id, state: "done", text }),
  };
}
