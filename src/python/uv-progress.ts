import { formatBytes } from "../base/format.ts";

export interface Progress {
  readonly text: string;
  /** 0 to 1: downloaded bytes of those announced. Only while downloading. */
  readonly fraction?: number;
}

const units = new Map([
  ["B", 1],
  ["KiB", 1024],
  ["MiB", 1024 ** 2],
  ["GiB", 1024 ** 3],
]);

/** Turns what uv says while it installs into one line for a person. */
export class UvProgress {
  readonly #pending = new Map<string, number>();
  #announced = 0;
  #done = 0;
  #fraction = 0;

  /** The state after one line of uv's stderr; undefined if the line changes nothing. */
  read(line: string): Progress | undefined {
    const resolved = /^Resolved (\d+) packages?/.exec(line);
    if (resolved) return { text: `${resolved[1]} packages to install` };
    const download = /^Downloading (\S+) \(([\d.]+)([KMG]?i?B)\)$/.exec(line);
    if (download) return this.#start(download[1]!, Number(download[2]) * units.get(download[3]!)!);
    const finished = /^ Downloaded (\S+)$/.exec(line);
    if (finished) return this.#finish(finished[1]!);
    const prepared = /^Prepared (\d+) packages?/.exec(line);
    if (prepared) return { text: `unpacking ${prepared[1]} packages` };
    const installed = /^Installed (\d+) packages?/.exec(line);
    if (installed) return { text: `${installed[1]} packages installed` };
    return undefined;
  }

  #start(name: string, bytes: number): Progress | undefined {
    // They are announced in one burst: only a larger one than before is news.
    const isNews = bytes > Math.max(0, ...this.#pending.values());
    this.#pending.set(name, bytes);
    this.#announced += bytes;
    return isNews ? this.#downloading() : undefined;
  }

  #finish(name: string): Progress {
    this.#done += this.#pending.get(name) ?? 0;
    this.#pending.delete(name);
    return this.#downloading();
  }

  #downloading(): Progress {
    // uv announces a file when it begins it: a late one must not turn the bar back.
    this.#fraction = Math.max(this.#fraction, this.#done / Math.max(1, this.#announced));
    const largest = [...this.#pending].sort(([, a], [, b]) => b - a)[0];
    const done = `${formatBytes(this.#done)} of ${formatBytes(this.#announced)}`;
    const others = this.#pending.size > 1 ? ` and ${this.#pending.size - 1} more` : "";
    const now = largest ? `: ${largest[0]} (${formatBytes(largest[1])})${others}` : "";
    return { text: `downloaded ${done}${now}`, fraction: this.#fraction };
  }
}
