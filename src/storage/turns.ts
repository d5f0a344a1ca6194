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
const rounds = 2;
/**
 * Where a task takes so many times as long as the fastest ever did, they wait for each other, not for
 * the line: what TCP Vegas measures.
 */
const queued = 2;
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
  /** Since the last judgement; the first round is not counted, it is that of the handshakes. */
  private ended: number;
  private since = 0;
  /** The shortest task, in milliseconds. */
  private fastest = Infinity;
  private isIdle = false;
  /** Tasks a millisecond before the limit was raised last. */
  private before: number | undefined;
  private readonly waiting: { readonly bytes: number; readonly begin: (at: number) => void }[] = [];

  constructor({
    atOnce,
    heldBytes,
    busy = loopUtilization(),
    now = () => performance.now(),
  }: TurnsOptions) {
    this.limit = atOnce.first;
    this.ended = -atOnce.first;
    this.most = atOnce.most;
    this.heldBytes = heldBytes;
    this.busy = busy;
    this.now = now;
  }

  async run<T>(bytes: number, work: () => Promise<T>): Promise<T> {
    const turn = this.enter(bytes);
    const began = typeof turn === "number" ? turn : await turn;
    try {
      return await work();
    } finally {
      this.leave(bytes, began);
    }
  }

  /** Begins a task, now or when it is its turn; {@link leave} is told when that was. */
  enter(bytes: number): number | Promise<number> {
    if (this.waiting.length > 0 || !this.fits(bytes)) {
      return new Promise((begin) => this.waiting.push({ bytes, begin }));
    }
    return this.take(bytes);
  }

  /** Ends one. */
  leave(bytes: number, began: number): void {
    this.active -= 1;
    this.held -= bytes;
    this.judge(began);
    for (let next = this.waiting[0]; next !== undefined && this.fits(next.bytes);) {
      this.waiting.shift();
      next.begin(this.take(next.bytes));
      next = this.waiting[0];
    }
  }

  private fits(bytes: number): boolean {
    if (this.active === 0) return true;
    return this.active < this.limit && this.held + bytes <= this.heldBytes;
  }

  private take(bytes: number): number {
    this.active += 1;
    this.held += bytes;
    return this.now();
  }

  private judge(began: number): void {
    if (this.limit >= this.most) return;
    const at = this.now();
    this.fastest = Math.min(this.fastest, at - began);
    this.ended += 1;
    if (this.ended <= 0) this.since = at;
    if (this.ended < rounds * this.limit) return;
    const rate = this.ended / Math.max(1, at - this.since);
    const wasIdle = this.isIdle;
    this.isIdle = this.busy() < busyEnough;
    this.ended = 0;
    this.since = at;
    if (this.waiting.length === 0) return;
    if (this.before !== undefined && rate < worthMore * this.before) {
      this.most = this.limit;
      return;
    }
    this.before = undefined;
    const isLine = this.limit / rate < queued * this.fastest;
    // Once may be chance: another program had the processor.
    if (!isLine && !(wasIdle && this.isIdle)) return;
    this.before = rate;
    this.limit = Math.min(this.most, 2 * this.limit);
    // The next round is that of the handshakes.
    this.ended = -this.limit;
    this.isIdle = false;
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
