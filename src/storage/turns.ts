import { performance } from "node:perf_hooks";

export interface TurnsOptions {
  /** Tasks at once: so many at first, and while this thread is idle more, up to the most. */
  readonly atOnce: { readonly first: number; readonly most: number };
  /** What all of them may hold in memory, in bytes; one alone may hold more. */
  readonly heldBytes: number;
  /** Share of the time, since the last call, in which this thread was busy; given by tests. */
  readonly busy?: () => number;
  /** Milliseconds, of any origin; given by tests. */
  readonly now?: () => number;
}

/** Judged after so many rounds of all that run at once. */
const rounds = 3;
/** A thread that waits for more than so much of its time could serve more requests. */
const busyEnough = 0.7;
/** Where more at once do not end so much more in the same time, the other side is what is waited for. */
const worthMore = 1.1;

/**
 * Lets tasks begin in the order in which they come. Over a long line sixty-four small requests keep
 * nobody busy, and beside a busy server more than those only cost handshakes: so it is measured.
 */
export class Turns {
  private limit: number;
  private most: number;
  private readonly heldBytes: number;
  private readonly busy: () => number;
  private readonly now: () => number;
  private active = 0;
  private held = 0;
  private ended = 0;
  private since = 0;
  /** Tasks a millisecond before the limit was raised last. */
  private before: number | undefined;
  private readonly waiting: { readonly bytes: number; readonly begin: () => void }[] = [];

  constructor({
    atOnce,
    heldBytes,
    busy = loopUtilization(),
    now = () => performance.now(),
  }: TurnsOptions) {
    this.limit = atOnce.first;
    this.most = atOnce.most;
    this.heldBytes = heldBytes;
    this.busy = busy;
    this.now = now;
  }

  async run<T>(bytes: number, work: () => Promise<T>): Promise<T> {
    const turn = this.enter(bytes);
    if (turn !== undefined) await turn;
    try {
      return await work();
    } finally {
      this.leave(bytes);
    }
  }

  /** Begins a task: at once where nothing is returned, otherwise when that has settled. */
  enter(bytes: number): Promise<void> | undefined {
    if (this.waiting.length > 0 || !this.fits(bytes)) {
      return new Promise((begin) => this.waiting.push({ bytes, begin }));
    }
    this.take(bytes);
    return undefined;
  }

  /** Ends one. */
  leave(bytes: number): void {
    this.active -= 1;
    this.held -= bytes;
    this.judge();
    for (let next = this.waiting[0]; next !== undefined && this.fits(next.bytes);) {
      this.waiting.shift();
      this.take(next.bytes);
      next.begin();
      next = this.waiting[0];
    }
  }

  private fits(bytes: number): boolean {
    if (this.active === 0) return true;
    return this.active < this.limit && this.held + bytes <= this.heldBytes;
  }

  private take(bytes: number): void {
    this.active += 1;
    this.held += bytes;
  }

  private judge(): void {
    this.ended += 1;
    if (this.limit >= this.most || this.ended < rounds * this.limit) return;
    const at = this.now();
    const rate = this.ended / Math.max(1, at - this.since);
    const isIdle = this.busy() < busyEnough;
    const first = this.since === 0;
    this.ended = 0;
    this.since = at;
    // The first rounds are those of the handshakes.
    if (first || this.waiting.length === 0) return;
    if (this.before !== undefined && rate < worthMore * this.before) {
      this.most = this.limit;
    } else if (isIdle) {
      this.before = rate;
      this.limit = Math.min(this.most, 2 * this.limit);
    }
  }
}

function loopUtilization(): () => number {
  let last = performance.eventLoopUtilization();
  return () => {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, last);
    last = now;
    return utilization;
  };
}
