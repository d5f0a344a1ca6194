import * as fs from "node:fs";
import { unlessGone } from "./gone.ts";

/** A file that is whole and checked, and has not got its name yet. */
export interface Written {
  readonly descriptor: number;
  readonly partial: string;
  readonly file: string;
}

interface Waiting extends Written {
  readonly done: () => void;
  readonly fail: (error: unknown) => void;
}

/** So many go to the disk together, or as many as come within so long. */
const together = 64;
const longestMs = 20;
/** To wake one of Node's threads takes longer. */
const soonMs = 0.1;
/** One answer that is late may be chance; three in a row are a quarter of the last ten or so. */
const lateEnough = 0.25;
const lastOnes = 10;

/**
 * Puts written files on the disk, then gives them their names: after a power cut no name stands for
 * bytes that were lost. Together, because a disk writes its journal once for many files. A disk that
 * answers at once, memory or an SSD with a cache of its own, is waited for; for any other, threads wait.
 */
export class Finisher {
  private waiting: Waiting[] = [];
  private timer: NodeJS.Timeout | undefined;
  private readonly now: () => number;
  /** Share of the last answers that came late. */
  private late = 0;

  /** `now` is in milliseconds, of any origin; given by tests. */
  constructor(now: () => number = () => performance.now()) {
    this.now = now;
  }

  /** Closes the file in any case; where that fails, nothing of it is left. */
  finish(written: Written): Promise<void> {
    return new Promise((done, fail) => {
      this.waiting.push({ ...written, done, fail });
      if (this.waiting.length >= together) this.flush();
      else this.timer ??= setTimeout(() => this.flush(), longestMs);
    });
  }

  private flush(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    const batch = this.waiting;
    this.waiting = [];
    for (const one of batch) {
      if (this.late < lateEnough) putInPlace(one, this.syncNow(one.descriptor));
      else fs.fsync(one.descriptor, (error) => putInPlace(one, error));
    }
  }

  private syncNow(descriptor: number): Error | null {
    const began = this.now();
    try {
      fs.fsyncSync(descriptor);
      return null;
    } catch (error) {
      return error as Error;
    } finally {
      const late = this.now() - began > soonMs ? 1 : 0;
      this.late += (late - this.late) / lastOnes;
    }
  }
}

function putInPlace({ descriptor, partial, file, done, fail }: Waiting, trouble: Error | null) {
  try {
    fs.closeSync(descriptor);
    if (trouble !== null) throw trouble;
    if (partial !== file) giveName(partial, file);
    done();
  } catch (error) {
    discard(partial);
    fail(error);
  }
}

/**
 * Gives a whole file its name.
 *
 * @throws E_FILE_CHANGED where it is not there
 */
export function giveName(partial: string, file: string): void {
  unlessGone(file, () => fs.renameSync(partial, file));
}

/** Removes what gets no name; that it cannot would hide why. */
export function discard(partial: string): void {
  try {
    fs.rmSync(partial, { force: true });
  } catch {
    // The first trouble is the one that is told.
  }
}
