import * as fs from "node:fs";

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

/**
 * Puts written files on the disk, then gives them their names: after a power cut no name stands for
 * bytes that were lost. Together, because a disk writes its journal once for many files, and to wake
 * Node's threads for each takes longer than to write it.
 */
export class Finisher {
  private waiting: Waiting[] = [];
  private timer: NodeJS.Timeout | undefined;

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
    for (const one of batch) fs.fsync(one.descriptor, (error) => putInPlace(one, error));
  }
}

function putInPlace({ descriptor, partial, file, done, fail }: Waiting, trouble: Error | null) {
  try {
    fs.closeSync(descriptor);
    if (trouble !== null) throw trouble;
    fs.renameSync(partial, file);
    done();
  } catch (error) {
    fs.rmSync(partial, { force: true });
    fail(error);
  }
}
