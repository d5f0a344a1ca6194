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

/** A line takes as long for any number of tasks; a server does one after another. */
type Service = "line" | "server" | "line, then a server";

/** Lets tasks run against a service in a time of its own; tells the most that ran at once. */
async function mostAtOnce(service: Service, busy: () => number): Promise<number> {
  let time = 0;
  let free = 0;
  let active = 0;
  let most = 0;
  const ends: { readonly at: number; readonly end: () => void }[] = [];
  const turns = new Turns({
    atOnce: { first: 4, most: 100 },
    heldBytes: 1e9,
    busy,
    now: () => time,
  });
  const task = () =>
    turns.run(1, async () => {
      most = Math.max(most, (active += 1));
      const line = service === "server" ? 0 : 40;
      const work = service === "line" ? 0 : 5;
      free = Math.max(free, time) + work;
      const at = Math.max(time + line + work, free + line);
      await new Promise<void>((end) => ends.push({ at, end }));
      active -= 1;
    });
  const all = Promise.all(Array.from({ length: 2000 }, task));
  while (ends.length > 0) {
    ends.sort((one, other) => one.at - other.at);
    const { at, end } = ends.shift()!;
    time = at;
    end();
    await tick();
  }
  await all;
  return most;
}

describe("more at once", () => {
  const idle = () => 0.1;
  const working = () => 0.9;

  test("are all that is allowed on a long line, also for a busy thread", async () => {
    expect(await mostAtOnce("line", idle)).toBe(100);
    expect(await mostAtOnce("line", working)).toBe(100);
  });

  test("are none beside a busy server, for a busy thread", async () => {
    expect(await mostAtOnce("server", working)).toBe(4);
  });

  test("are one step beside a busy server, for an idle thread", async () => {
    expect(await mostAtOnce("server", idle)).toBe(8);
  });

  test("are none where a thread was idle by chance", async () => {
    let judged = 0;
    const byChance = () => ((judged += 1) % 2 === 0 ? 0.1 : 0.9);
    expect(await mostAtOnce("server", byChance)).toBe(4);
  });

  test("end on a line where the server behind it has enough to do", async () => {
    expect(await mostAtOnce("line, then a server", working)).toBe(32);
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
