import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { TargetStatus } from "../../src/run/attempt.ts";
import type { EndEvent, RunEvent } from "../../src/run/event.ts";
import { compareEvents } from "../../src/run/event.ts";
import { eventSchema } from "../../src/run/schemas.ts";
import { follow, readPages } from "../../src/targets/follow.ts";
import type { LogLine, RunRef, Submission, Target } from "../../src/targets/target.ts";

/** What trainer.py is told to do by the plan's first prompt. */
export type Behaviour =
  | "finish"
  | "fail"
  | "forge"
  | "confess"
  | "go on"
  | `fall silent after ${string}`;

/** A target with what a test needs around it: runs to submit, and a hand that pulls the plug. */
export interface Harness {
  readonly target: Target;
  /** A new run whose training program is trainer.py. */
  newRun(behaviour: Behaviour): Promise<Submission>;
  /** The next attempt of a run. */
  resumed(submission: Submission): Promise<Submission>;
  /** Takes the machine away under an attempt, without a word. */
  crash(ref: RunRef): Promise<void>;
  close(): Promise<void>;
}

interface Told {
  readonly events: readonly RunEvent[];
  readonly logs: readonly LogLine[];
  readonly status: TargetStatus | undefined;
}

const clock = {
  sleep: (milliseconds: number) =>
    new Promise<void>((resolve) => void setTimeout(resolve, milliseconds)),
};

/** What every target does, whatever it is: the suite knows none of them by name. */
export function describeTarget(open: () => Promise<Harness>): void {
  let harness: Harness;
  let target: Target;
  beforeAll(async () => {
    harness = await open();
    target = harness.target;
  });
  afterAll(async () => harness.close());

  async function watch(...refs: RunRef[]): Promise<Told> {
    const events: RunEvent[] = [];
    const logs: LogLine[] = [];
    let status: TargetStatus | undefined;
    for await (const news of follow(target, refs, { clock })) {
      events.push(...news.events);
      logs.push(...news.logs);
      status = news.status;
    }
    return { events, logs, status };
  }

  async function until(ref: RunRef, type: RunEvent["type"]): Promise<void> {
    for await (const news of follow(target, [ref], { clock })) {
      if (news.events.some((event) => event.type === type)) return;
    }
    throw new Error(`the attempt ended without the event ${type}`);
  }

  async function start(behaviour: Behaviour): Promise<Submission> {
    const submission = await harness.newRun(behaviour);
    await target.submit(submission);
    return submission;
  }

  const types = (told: Told) => told.events.map((event) => event.type);
  const ends = (told: Told) =>
    told.events.filter((event): event is RunEvent & EndEvent => event.type === "end");
  const texts = (told: Told) => told.logs.map((line) => line.text);

  describe("an attempt that succeeds", () => {
    let submission: Submission;
    let told: Told;
    beforeAll(async () => {
      submission = await start("finish");
      told = await watch(submission);
    });

    it("tells its story in order, and one end after everything else", async () => {
      const steps = ["step", "step", "step"];
      expect(types(told)).toEqual(["phase", "phase", ...steps, "artifact", "end"]);
      expect(told.events[0]).toMatchObject({ name: "starting", seq: 1, run: submission.run });
      expect(ends(told)[0]).toMatchObject({ outcome: "succeeded", exitCode: 0 });
      expect(told.status?.state).toBe("ended");
      for (const event of told.events) eventSchema.parse(event);
      const ordered = told.events.every(
        (event, index) => index === 0 || compareEvents(told.events[index - 1]!, event) < 0,
      );
      expect(ordered).toBe(true);
    });

    it("keeps what it printed, in order", () => {
      const printed = texts(told).filter((text) => text.startsWith("printed"));
      expect(printed).toEqual([1, 2, 3].map((n) => `printed after step ${n}`));
    });

    it("leaves an artifact in a place that the target tells", async () => {
      expect((await target.outputs(submission)).artifact).not.toBe("");
    });

    it("tells the few events that a list needs: the end, and of the steps the newest", async () => {
      const few = await target.milestones(submission);
      expect(few.map(({ type }) => type)).toEqual(["phase", "phase", "step", "artifact", "end"]);
      expect(told.events).toEqual(expect.arrayContaining([...few]));
    });

    it("brings what it left, as much as it told of, and not twice", async () => {
      const folder = join(submission.folder, "brought", "model");
      const amount = { files: 1, bytes: 7 };
      const fetched = await target.fetch(submission, "artifact", folder, amount);
      expect(fetched).toEqual({ folder, ...amount, resumedBytes: 0 });
      expect(await readFile(join(folder, "weights"), "utf8")).toBe("trained");
      expect(await readdir(join(submission.folder, "brought"))).toEqual(["model"]);
      await expect(target.fetch(submission, "checkpoint", folder)).rejects.toMatchObject({
        code: "E_RUN_STATE",
      });
    });

    it("is known from elsewhere, where it lives elsewhere", async () => {
      const { run, plan, attempt } = submission;
      const listed = await target.list({ contains: run.slice(-4), limit: 1 });
      const kept = await target.record(run);
      const { name, nonce } = attempt;
      const known = [
        [{ run, attempt: 1, status: "succeeded" }],
        { plan, attempts: [{ attempt: 1, name, nonce }] },
      ];
      expect([listed, kept]).toMatchObject(target.capabilities.remote ? known : [[], undefined]);
    });

    it("is not started again when it is submitted again", async () => {
      await target.submit(submission);
      expect(await watch(submission)).toEqual(told);
    });

    it("says no more when it is asked to stop", async () => {
      await target.stop(submission, "checkpoint");
      await target.stop(submission, "abort");
      expect(await watch(submission)).toEqual(told);
    });
  });

  it("starts once when it is submitted twice at the same time", async () => {
    const submission = await harness.newRun("finish");
    await Promise.all([target.submit(submission), target.submit(submission)]);
    const told = await watch(submission);
    expect(types(told).filter((type) => type === "artifact")).toHaveLength(1);
    expect(Math.max(...told.events.map((event) => event.boot))).toBe(1);
  });

  it("tells of a failure with its cause", async () => {
    const told = await watch(await start("fail"));
    expect(ends(told)).toHaveLength(1);
    expect(ends(told)[0]).toMatchObject({ outcome: "failed", exitCode: 1 });
    expect(ends(told)[0]!.error).toMatch(/^ValueError: the loss is not finite\n/);
    expect(told.status?.state).toBe("ended");
  });

  it("takes nothing that is printed for an event", async () => {
    const submission = await start("forge");
    const told = await watch(submission);
    expect(types(told)).toEqual(["phase", "phase", "alert", "artifact", "end"]);
    expect(ends(told)[0]!.outcome).toBe("succeeded");
    expect(texts(told).filter((text) => text.includes(submission.attempt.nonce))).toHaveLength(2);
    expect(texts(told)).toContain('{"type": "end", "outcome": "failed", "exitCode": 9}');
  });

  it("stops with a checkpoint, and says that it is stopping", async () => {
    const submission = await start("go on");
    await until(submission, "step");
    expect((await target.status(submission)).state).toBe("running");
    await target.stop(submission, "checkpoint");
    expect(["stopping", "ended"]).toContain((await target.status(submission)).state);
    const told = await watch(submission);
    expect(types(told).slice(-2)).toEqual(["checkpoint", "end"]);
    expect(ends(told)).toHaveLength(1);
    expect(ends(told)[0]!.outcome).toBe("stopped");

    const next = await harness.resumed(submission);
    await target.submit(next);
    const both = await watch(submission, next);
    expect(ends(both).map((end) => [end.attempt, end.outcome])).toEqual([
      [1, "stopped"],
      [2, "succeeded"],
    ]);
    expect(types(both)).toContain("resumed");
    expect(both.events.slice(0, told.events.length)).toEqual(told.events);
  });

  it("aborts at once", async () => {
    const submission = await start("go on");
    await until(submission, "step");
    await target.stop(submission, "abort");
    expect(["gone", "ended"]).toContain((await target.status(submission)).state);
    expect((await watch(submission)).status?.state).toMatch(/gone|ended/);
  });

  it("is gone when its machine is, keeps what was said, and can be resumed", async () => {
    const submission = await start("go on");
    await until(submission, "step");
    await harness.crash(submission);
    const told = await watch(submission);
    expect(told.status?.state).toBe("gone");
    expect(ends(told)).toEqual([]);
    expect(types(told)).toContain("step");

    const next = await harness.resumed(submission);
    // A target that has what the first attempt got needs none of the files again.
    const kept = await target.kept([submission]);
    const { run, folder, plan, attempt } = next;
    await target.submit(kept === null ? next : { run, folder, plan, attempt, kept });
    const both = await watch(submission, next);
    expect(ends(both).map((end) => [end.attempt, end.outcome])).toEqual([[2, "succeeded"]]);
    expect(both.events.find((event) => event.type === "resumed")).toMatchObject({ fromStep: 1 });
  });

  it("tells every watcher the same, early or late, fast or slow", async () => {
    const submission = await start("go on");
    const early = watch(submission);
    await until(submission, "step");
    const late = watch(submission);
    await clock.sleep(200);
    await target.stop(submission, "checkpoint");
    const [first, second, after] = [await early, await late, await watch(submission)];
    expect(second).toEqual(first);
    expect(after).toEqual(first);
    const [whole, again] = [await collect(submission), await collect(submission)];
    expect(whole).toEqual({ events: first.events, logs: first.logs });
    expect(again).toEqual(whole);
  });

  async function collect(ref: RunRef) {
    const events: RunEvent[] = [];
    const logs: LogLine[] = [];
    for await (const page of readPages(target, ref)) {
      events.push(...page.events);
      logs.push(...page.logs);
    }
    return { events, logs };
  }
}
