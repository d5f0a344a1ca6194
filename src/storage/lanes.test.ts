import { expect, test } from "vitest";
import { Halt, inLanes, startLanes } from "./lanes.ts";

const tick = () => new Promise((resolve) => setImmediate(resolve));

test("results come in order, and no more are at work than were allowed", async () => {
  let active = 0;
  let most = 0;
  const results = await inLanes([5, 4, 3, 2, 1], 2, async (ticks) => {
    most = Math.max(most, (active += 1));
    for (let count = 0; count < ticks; count++) await tick();
    active -= 1;
    return ticks * 10;
  });
  expect([results, most]).toEqual([[50, 40, 30, 20, 10], 2]);
});

test("a failure starts no more, waits for those that run, and is the one that is told", async () => {
  const halt = new Halt();
  const ended: string[] = [];
  const work = (name: string) => async (ticks: number) => {
    for (let count = 0; count < ticks; count++) await tick();
    if (ticks === 1) throw new Error("the first");
    ended.push(`${name} ${ticks}`);
  };
  const both = halt.all([
    inLanes([3, 1, 2, 2, 2], 2, work("a"), halt),
    inLanes([5, 2, 2], 1, work("b"), halt),
  ]);
  await expect(both).rejects.toThrow("the first");
  expect(ended).toEqual(["a 3", "b 5"]);
});

test("what is added while a lane ends is done too", async () => {
  for (let moments = 0; moments < 8; moments++) {
    const lanes = startLanes(1, (item: number) => Promise.resolve(item));
    lanes.add([1]);
    for (let count = 0; count < moments; count++) await Promise.resolve();
    lanes.add([2]);
    expect(await lanes.end()).toEqual([1, 2]);
  }
});
