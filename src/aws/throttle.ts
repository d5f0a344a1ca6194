/**
 * How many requests may run at once: halved when the service asks for fewer, and one more after
 * each round without trouble, as TCP does it.
 */
export class Throttle {
  private readonly most: number;
  private limit: number;
  private active = 0;
  private calm = 0;
  private readonly waiting: (() => void)[] = [];

  constructor(most: number) {
    this.most = most;
    this.limit = most;
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.active >= this.limit) await new Promise<void>((resolve) => this.waiting.push(resolve));
    else this.active += 1;
    try {
      return await work();
    } finally {
      this.active -= 1;
      while (this.active < this.limit && this.waiting.length > 0) {
        this.active += 1;
        this.waiting.shift()!();
      }
    }
  }

  succeeded(): void {
    this.calm += 1;
    if (this.calm < this.limit || this.limit >= this.most) return;
    this.limit += 1;
    this.calm = 0;
  }

  /** The answers to requests that ran already say the same once more, and count once. */
  slowedDown(): void {
    if (this.calm < 0) {
      this.calm += 1;
      return;
    }
    this.limit = Math.max(1, Math.floor(this.limit / 2));
    this.calm = -this.active;
  }

  get current(): number {
    return this.limit;
  }
}
