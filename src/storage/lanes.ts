/** Tells work that belongs together that one of it has failed. */
export class Halt {
  failed = false;

  /**
   * Waits for all of it, however it ends, so that nothing goes on behind an error's back; then throws
   * what failed first.
   */
  async all<T extends readonly unknown[]>(works: {
    [K in keyof T]: Promise<T[K]>;
  }): Promise<T> {
    let first: { readonly error: unknown } | undefined;
    const settled = works.map((work) =>
      work.catch((error: unknown) => {
        this.failed = true;
        if (!(error instanceof Halted)) first ??= { error };
      }),
    );
    const results = await Promise.all(settled);
    if (first !== undefined) throw first.error;
    return results as unknown as T;
  }
}

/** What work throws that was stopped because other work has failed. */
export class Halted extends Error {
  constructor() {
    super("stopped because another transfer has failed");
  }
}

export interface Lanes<T, R> {
  /** More to do, behind what waits already. */
  add(items: readonly T[]): void;
  readonly failed: boolean;
  /** Waits for all of it. The results are in the order in which the items came. */
  end(): Promise<R[]>;
}

/**
 * Does so many at once, in order, as they come. After a failure, here or in what it belongs to, no
 * more are started; those that run are waited for, and the end throws what failed first.
 */
export function startLanes<T, R>(
  atOnce: number,
  work: (item: T) => Promise<R>,
  halt: { readonly failed: boolean } = { failed: false },
): Lanes<T, R> {
  let next = 0;
  const items: T[] = [];
  const results: R[] = [];
  const failures: unknown[] = [];
  const running = new Set<Promise<void>>();
  // Told at once: what is added between a lane's end and its promise's needs another one.
  let busy = 0;
  const lane = async () => {
    busy += 1;
    while (next < items.length && failures.length === 0) {
      const index = next;
      next += 1;
      try {
        if (halt.failed) throw new Halted();
        results[index] = await work(items[index]!);
      } catch (error) {
        failures.push(error);
      }
    }
    busy -= 1;
  };
  return {
    add(more) {
      for (const item of more) items.push(item);
      while (busy < atOnce && next < items.length && failures.length === 0) {
        const one: Promise<void> = lane().finally(() => running.delete(one));
        running.add(one);
      }
    },
    get failed() {
      return failures.length > 0;
    },
    async end() {
      while (running.size > 0) await Promise.all(running);
      if (failures.length === 0) return results;
      throw failures.find((each) => !(each instanceof Halted)) ?? failures[0];
    },
  };
}

/** The same for items that are all known. */
export function inLanes<T, R>(
  items: readonly T[],
  atOnce: number,
  work: (item: T) => Promise<R>,
  halt?: { readonly failed: boolean },
): Promise<R[]> {
  const lanes = startLanes(atOnce, work, halt);
  lanes.add(items);
  return lanes.end();
}
