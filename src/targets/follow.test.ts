import { describe, expect, it } from "vitest";
import { plan, run } from "../../test/fixtures/story.ts";
import type { TargetStatus } from "../run/attempt.ts";
import type { RunEvent } from "../run/event.ts";
import { follow } from "./follow.ts";
import type { News } from "./follow.ts";
import type { RunRef, Target } from "./target.ts";

const ref = (attempt: number): RunRef => ({
  run,
  folder: "/nowhere",
  plan: plan(),
  attempt: { attempt, name: `${run}-a${attempt}`, target: "local", at: "", nonce: "" },
});

const say = (attempt: number, seq: number): RunEvent => ({
  v: 1,
  run,
  attempt,
  boot: 1,
  seq,
  at: "",
  type: "heartbeat",
});

/** A target whose attempts say one event a page, and a clock whose every sleep lets time pass. */
function world(said: Record<number, RunEvent[]>, ...states: TargetStatus["state"][]) {
  const asked: string[] = [];
  const slept: number[] = [];
  const onSleep: (() => void)[] = [];
  const target = {
    capabilities: {
      spot: false,
      warmPool: false,
      maxNodes: 1,
      paid: false,
      remote: false,
      abort: true,
      pollMs: [200, 200],
    },
    status(of: RunRef) {
      asked.push(`status ${of.attempt.attempt}`);
      return Promise.resolve({ state: states.length > 1 ? states.shift()! : states[0]! });
    },
    read(of: RunRef, cursor: string | null) {
      const next = Number(cursor ?? 0);
      const event = said[of.attempt.attempt]![next];
      const events = event === undefined ? [] : [event];
      const logs = events.map(({ attempt, seq }) => ({ attempt, text: `line ${seq}` }));
      return Promise.resolve({ events, logs, cursor: String(next + events.length) });
    },
  } as unknown as Target;
  const clock = {
    sleep(milliseconds: number) {
      slept.push(milliseconds);
      onSleep.shift()?.();
      return Promise.resolve();
    },
  };
  return { target, clock, asked, slept, onSleep };
}

async function all(news: AsyncIterable<News>): Promise<News[]> {
  const told: News[] = [];
  for await (const item of news) told.push(item);
  return told;
}

const brief = (told: readonly News[]) =>
  told.map(({ events, status }) => [...events.map((e) => `${e.attempt}.${e.seq}`), status?.state]);

describe("follow", () => {
  it("tells every attempt from its start, and the end after all that was said", async () => {
    const said = { 1: [say(1, 1), say(1, 2)], 2: [say(2, 1), say(2, 2)] };
    const { target, clock, asked, slept } = world(said, "ended");
    const told = await all(follow(target, [ref(1), ref(2)], { clock }));
    expect(brief(told)).toEqual([
      ["1.1", undefined],
      ["1.2", undefined],
      ["2.1", undefined],
      ["2.2", undefined],
      ["ended"],
    ]);
    expect(told[0]!.logs).toEqual([{ attempt: 1, text: "line 1" }]);
    expect(asked).toEqual(["status 2"]);
    expect(slept).toEqual([]);
  });

  it("goes on live, tells a status when it changes, and drains the last lines", async () => {
    const said: RunEvent[] = [say(1, 1)];
    const { target, clock, slept, onSleep } = world(
      { 1: said },
      "starting",
      "running",
      "running",
      "stopping",
      "gone",
    );
    onSleep.push(
      () => {},
      () => said.push(say(1, 2)),
      () => {},
      () => said.push(say(1, 3), say(1, 4)),
    );
    const told = await all(follow(target, [ref(1)], { clock }));
    expect(brief(told)).toEqual([
      ["1.1", undefined],
      ["starting"],
      ["running"],
      ["1.2", "running"],
      ["stopping"],
      ["1.3", "stopping"],
      ["1.4", "stopping"],
      ["gone"],
    ]);
    expect(slept).toEqual([200, 200, 200, 200]);
  });

  it("leaves when asked, and ends nothing", async () => {
    const { target, clock, onSleep } = world({ 1: [say(1, 1)] }, "running");
    const leave = new AbortController();
    onSleep.push(() => leave.abort());
    const told = await all(follow(target, [ref(1)], { clock, signal: leave.signal }));
    expect(brief(told)).toEqual([["1.1", undefined], ["running"]]);
  });

  it("has nothing to tell of a run without attempts", async () => {
    const { target, clock } = world({}, "running");
    expect(await all(follow(target, [], { clock }))).toEqual([]);
  });
});
