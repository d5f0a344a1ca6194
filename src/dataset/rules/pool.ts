import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import type { Frame } from "../read/frame.ts";
import { RowChecker } from "./row-checker.ts";
import type { CheckerSettings, PartResult } from "./row-checker.ts";

/** Rows on their way to a worker: their bytes one after the other, and where each ends. */
export interface Parcel {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly ends: Uint32Array;
  readonly lines: Uint32Array;
  readonly offsets: Float64Array;
}

export interface Answer {
  readonly part?: PartResult;
  readonly error?: unknown;
  /** To be used again: memory outside the heap is given back late. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

const parcelBytes = 256 * 1024;
/** Each worker takes 35 MB. */
const maxWorkers = 4;

/** Checks rows and gives the results in the order of the rows. */
export interface Checking {
  /** Takes rows, which may be overwritten afterwards; resolves when there is room for more. */
  push(frames: readonly Frame[]): Promise<void>;
  end(): Promise<void>;
  close(): Promise<void>;
}

type Take = (part: PartResult) => void;

/** Checks in this thread: for files whose check is done before a worker is up. */
export function checkHere(settings: CheckerSettings, take: Take): Checking {
  const checker = new RowChecker(settings);
  return {
    async push(frames) {
      if (frames.length > 0) take(checker.checkFrames(frames));
    },
    async end() {},
    async close() {},
  };
}

/** Checks in as many threads as the machine runs at once. */
export function checkInWorkers(
  settings: CheckerSettings,
  take: Take,
  workers = Math.min(maxWorkers, availableParallelism()),
): Checking {
  return new Pool(settings, take, workers);
}

/** Gives the memory back at once: the collector sees only small objects and takes its time. */
function release({ lines, identities, prompts, sketches, splitKeys }: PartResult): void {
  for (const array of [lines, identities, prompts, sketches, splitKeys]) {
    if (array !== null) (array.buffer as ArrayBuffer).transfer(0);
  }
}

class Pool implements Checking {
  readonly #take: Take;
  readonly #workers: Worker[];
  readonly #idle: Worker[];
  readonly #free: Uint8Array<ArrayBuffer>[] = [];
  readonly #results = new Map<number, PartResult>();
  readonly #asked = new Map<Worker, number>();
  #queue: Frame[] = [];
  #queued = 0;
  #next = 0;
  #taken = 0;
  #failure: { readonly error: unknown } | undefined;
  #wake: () => void = () => {};

  constructor(settings: CheckerSettings, take: Take, workers: number) {
    this.#take = take;
    const file = import.meta.url.endsWith(".ts") ? "./worker.ts" : "./dataset-worker.js";
    this.#workers = Array.from({ length: workers }, () => {
      const worker = new Worker(new URL(file, import.meta.url), {
        workerData: settings,
        resourceLimits: { maxYoungGenerationSizeMb: 6 },
        // Options of this process, such as a test runner's, are not the worker's.
        execArgv: [],
      });
      worker.on("message", (answer: Answer) => this.#receive(worker, answer));
      worker.on("error", (error) => this.#fail(error));
      return worker;
    });
    this.#idle = [...this.#workers];
  }

  async push(frames: readonly Frame[]): Promise<void> {
    for (const frame of frames) {
      this.#queue.push(frame);
      this.#queued += frame.bytes.length;
      if (this.#queued >= parcelBytes) await this.#send();
    }
    // What stays is copied: the reader's buffer is about to be overwritten.
    await this.#send();
  }

  async end(): Promise<void> {
    await this.#until(() => this.#taken === this.#next);
  }

  async close(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }

  async #send(): Promise<void> {
    if (this.#queue.length === 0) return;
    const parcel = this.#pack();
    await this.#until(() => this.#idle.length > 0);
    const worker = this.#idle.pop()!;
    this.#asked.set(worker, this.#next);
    this.#next += 1;
    worker.postMessage(parcel, [parcel.bytes.buffer]);
  }

  #pack(): Parcel {
    const frames = this.#queue;
    const size = this.#queued;
    this.#queue = [];
    this.#queued = 0;
    const fits = this.#free.findIndex((bytes) => bytes.length >= size);
    const bytes =
      fits === -1
        ? new Uint8Array(Math.max(size, 2 * parcelBytes))
        : this.#free.splice(fits, 1)[0]!;
    const ends = new Uint32Array(frames.length);
    const lines = new Uint32Array(frames.length);
    const offsets = new Float64Array(frames.length);
    let at = 0;
    for (const [index, frame] of frames.entries()) {
      bytes.set(frame.bytes, at);
      at += frame.bytes.length;
      ends[index] = at;
      lines[index] = frame.line;
      offsets[index] = frame.offset;
    }
    return { bytes, ends, lines, offsets };
  }

  #receive(worker: Worker, { part, error, bytes }: Answer): void {
    if (part === undefined) return this.#fail(error);
    if (bytes.length === 2 * parcelBytes) this.#free.push(bytes);
    this.#results.set(this.#asked.get(worker)!, part);
    this.#idle.push(worker);
    for (let ready; (ready = this.#results.get(this.#taken)) !== undefined; this.#taken += 1) {
      this.#results.delete(this.#taken);
      this.#take(ready);
      release(ready);
    }
    this.#wake();
  }

  #fail(error: unknown): void {
    this.#failure ??= { error };
    this.#wake();
  }

  async #until(ready: () => boolean): Promise<void> {
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure.error;
      if (ready()) return;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}
