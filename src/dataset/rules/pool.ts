import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import type { Parcel } from "../read/parcel.ts";
import type { Stretch } from "../read/stretch.ts";
import { Unreadable } from "../read/unreadable.ts";
import type { PartResult } from "./part.ts";
import { RowChecker } from "./row-checker.ts";
import type { CheckerSettings, LinesFile } from "./row-checker.ts";

export interface WorkerSettings {
  readonly settings: CheckerSettings;
  /** Where stretches are read. */
  readonly lines?: LinesFile;
}

export type Work = Parcel | Stretch;

export interface Answer {
  readonly part?: PartResult;
  readonly error?: unknown;
  /** What ends the part, and the file. */
  readonly unreadable?: Pick<Unreadable, "offset" | "message" | "hint"> | undefined;
  /** Of the parcel, to be used again. */
  readonly bytes?: Uint8Array<ArrayBuffer>;
}

/** Each worker takes 25 MB. */
const maxWorkers = 4;

/** Checks rows and gives the results in the order of the rows. */
export interface Checking {
  /** Resolves when there is room for more. */
  push(work: Work): Promise<void>;
  end(): Promise<void>;
  close(): Promise<void>;
}

type Take = (part: PartResult) => void;
type GiveBack = (bytes: Uint8Array<ArrayBuffer>) => void;

/** Checks in this thread: for files whose check is done before a worker is up. */
export function checkHere(settings: CheckerSettings, take: Take, giveBack: GiveBack) {
  const checker = new RowChecker(settings);
  return {
    async push(parcel: Parcel) {
      take(checker.checkParcel(parcel));
      giveBack(parcel.bytes);
    },
    async end() {},
    async close() {},
  };
}

/** Checks in as many threads as the machine runs at once. */
export function checkInWorkers(
  settings: WorkerSettings,
  take: Take,
  giveBack: GiveBack = () => {},
): Checking {
  return new Pool(settings, take, giveBack, Math.min(maxWorkers, availableParallelism()));
}

/** Gives the memory back at once: the collector sees only small objects and takes its time. */
function release({ lines, identities, prompts, sketches, splitKeys, prefixes }: PartResult): void {
  for (const array of [lines, identities, prompts, sketches, splitKeys, prefixes]) {
    if (array !== null) (array.buffer as ArrayBuffer).transfer(0);
  }
}

class Pool implements Checking {
  readonly #take: Take;
  readonly #giveBack: GiveBack;
  readonly #workers: Worker[];
  /** What each worker has to do; one waits while the other is checked. */
  readonly #load = new Map<Worker, number[]>();
  readonly #results = new Map<number, Answer>();
  #next = 0;
  #taken = 0;
  #failure: { readonly error: unknown } | undefined;
  #wake: () => void = () => {};

  constructor(settings: WorkerSettings, take: Take, giveBack: GiveBack, workers: number) {
    this.#take = take;
    this.#giveBack = giveBack;
    const file = import.meta.url.endsWith(".ts") ? "./worker.ts" : "./dataset-worker.js";
    this.#workers = Array.from({ length: workers }, () => {
      const worker = new Worker(new URL(file, import.meta.url), {
        workerData: settings,
        resourceLimits: { maxYoungGenerationSizeMb: 4 },
        // Options of this process, such as a test runner's, are not the worker's.
        execArgv: [],
      });
      worker.on("message", (answer: Answer) => this.#receive(worker, answer));
      worker.on("error", (error) => this.#fail(error));
      this.#load.set(worker, []);
      return worker;
    });
  }

  async push(work: Work): Promise<void> {
    const freest = () =>
      this.#workers.reduce((a, b) =>
        this.#load.get(b)!.length < this.#load.get(a)!.length ? b : a,
      );
    await this.#until(() => this.#load.get(freest())!.length < 2);
    const worker = freest();
    this.#load.get(worker)!.push(this.#next);
    this.#next += 1;
    worker.postMessage(work, "bytes" in work ? [work.bytes.buffer] : []);
  }

  async end(): Promise<void> {
    await this.#until(() => this.#taken === this.#next);
  }

  async close(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }

  /** Takes what is done in the order in which it was given, up to what failed. */
  #receive(worker: Worker, answer: Answer): void {
    if (answer.bytes !== undefined) this.#giveBack(answer.bytes);
    this.#results.set(this.#load.get(worker)!.shift()!, answer);
    for (let ready; (ready = this.#results.get(this.#taken)) !== undefined; this.#taken += 1) {
      const { part, error, unreadable } = ready;
      if (part === undefined) return this.#fail(error);
      this.#results.delete(this.#taken);
      this.#take(part);
      release(part);
      if (unreadable === undefined) continue;
      const { offset, message, hint } = unreadable;
      return this.#fail(new Unreadable(offset, message, hint));
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
