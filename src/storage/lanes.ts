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
class Halted extends Error {}

/**
 * Does so many at once, in order, and returns the results in that order. After a failure, here or in
 * what it belongs to, no more are started; those that run are waited for.
 */
export async function inLanes<T, R>(
  items: readonly T[],
  atOnce: number,
  work: (item: T) => Promise<R>,
  halt: { readonly failed: boolean } = { failed: false },
): Promise<R[]> {
  let next = 0;
  const results: R[] = [];
  const failures: unknown[] = [];
  const lane = async () => {
    while (next < items.length && failures.length === 0) {
      const index = next;
      next += 1;
      try {
        if (halt.failed) throw new Halted("stopped because another transfer has failed");
        results[index] = await work(items[index]!);
      } catch (error) {
        failures.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, lane));
  if (failures.length > 0) throw failures.find((each) => !(each instanceof Halted)) ?? failures[0];
  return results;
}
