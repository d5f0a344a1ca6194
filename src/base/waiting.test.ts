import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { silentHost } from "./host.ts";
import { tellWait } from "./waiting.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test("what takes longer than a moment is told, the oldest of several, until nothing is waited for", async () => {
  const told: (string | null)[] = [];
  const host = { ...silentHost, waiting: (what: string | null) => void told.push(what) };
  const [a, b, quick] = [0, 1, 2].map(() => Promise.withResolvers<number>());
  const waits = [tellWait(host, "a", a!.promise), tellWait(host, "quick", quick!.promise)];
  await vi.advanceTimersByTimeAsync(500);
  waits.push(tellWait(host, "b", b!.promise));
  quick!.resolve(7);
  expect(await waits[1]).toBe(7);
  await vi.advanceTimersByTimeAsync(499);
  expect(told).toEqual([]);
  await vi.advanceTimersByTimeAsync(1);
  expect(told).toEqual(["a"]);
  await vi.advanceTimersByTimeAsync(500);
  a!.reject(new Error("denied"));
  await expect(waits[0]).rejects.toThrow("denied");
  expect(told.at(-1)).toBe("b");
  b!.resolve(1);
  await waits[2];
  expect(told.at(-1)).toBeNull();
});

test("a host that does not want to hear it costs no timer", async () => {
  await tellWait(silentHost, "a", Promise.resolve());
  void tellWait(silentHost, "a", new Promise(() => {}));
  expect(vi.getTimerCount()).toBe(0);
});
