import { describe, expect, test } from "vitest";
import { Turns } from "./turns.ts";

const tick = () => new Promise((resolve) => setImmediate(resolve));

/** Runs tasks that take a few ticks; tells the most tasks and bytes at once, and the order. */
async function watch(turns: Turns, sizes: readonly number[]) {
  const seen = { active: 0, held: 0, most: 0, mostHeld: 0, order: [] as number[] };
  await Promise.all(
    sizes.map((bytes, index) =>
      turns.run(bytes, async () => {
        seen.order.push(index);
        seen.most = Math.max(seen.most, (seen.active += 1));
        seen.mostHeld = Math.max(seen.mostHeld, (seen.held += bytes));
        await tick();
        seen.active -= 1;
        seen.held -= bytes;
      }),
    ),
  );
  return seen;
}

const many = (count: number, bytes: number) => Array.from({ length: count }, () => bytes);

describe("more at once", () => {
  const atOnce = { first: 4, most: 100 };
  /** The clock of a server whose tasks end one after another, or of a line that takes any number. */
  const clock = (of: "server" | "line") => {
    let time = 1;
    let calls = 0;
    const limits = [4, 4, 8, 16, 32, 64, 100];
    return () => {
      const limit = limits[Math.min(calls, limits.length - 1)]!;
      calls += 1;
      return (time += of === "line" ? 3 * 20 : 3 * limit * 5);
    };
  };

  test("are none for a busy thread", async () => {
    const turns = new Turns({ atOnce, heldBytes: 1e9, busy: () => 0.9, now: clock("line") });
    expect((await watch(turns, many(400, 1))).most).toBe(4);
  });

  test("are all for an idle one on a long line", async () => {
    const turns = new Turns({ atOnce, heldBytes: 1e9, busy: () => 0.1, now: clock("line") });
    expect((await watch(turns, many(1500, 1))).most).toBe(100);
  });

  test("are one step where the server is busy instead", async () => {
    const turns = new Turns({ atOnce, heldBytes: 1e9, busy: () => 0.1, now: clock("server") });
    expect((await watch(turns, many(1500, 1))).most).toBe(8);
  });
});

test("memory is bounded, and what is larger than all of it goes alone and in order", async () => {
  const turns = new Turns({ atOnce: { first: 50, most: 50 }, heldBytes: 10 });
  const seen = await watch(turns, [4, 4, 4, 99, 1, 1]);
  expect([seen.most, seen.mostHeld]).toEqual([2, 99]);
  expect(seen.order).toEqual([0, 1, 2, 3, 4, 5]);
});

test("a task that fails gives its place on", async () => {
  const turns = new Turns({ atOnce: { first: 1, most: 1 }, heldBytes: 10 });
  const failed = turns.run(5, () => Promise.reject(new Error("no")));
  const after = turns.run(10, () => Promise.resolve("yes"));
  await expect(failed).rejects.toThrow("no");
  expect(await after).toBe("yes");
});
