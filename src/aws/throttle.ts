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

  /** Begins a request: at once where nothing is returned, otherwise when that has settled. */
  enter(): Promise<void> | undefined {
    if (this.active >= this.limit) return new Promise((resolve) => this.waiting.push(resolve));
    this.active += 1;
    return undefined;
  }

  /** Ends one. */
  leave(): void {
    this.active -= 1;
    while (this.active < this.limit && this.waiting.length > 0) {
      this.active += 1;
      this.waiting.shift()!();
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
