import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import type { Attempt } from "./attempt.ts";
import { attemptName } from "./attempt.ts";
import type { EventBody, RunEvent } from "./event.ts";
import { fold } from "./fold.ts";
import type { FoldInput } from "./fold.ts";
import { freezePlan } from "./plan.ts";
import type { Plan } from "./plan.ts";

const run = "moxi-20261123-141207-calm-otter-7f3k";
const hash = "0".repeat(64);
const plan: Plan = freezePlan({
  formatVersion: 1,
  recipe: {
    formatVersion: 1,
    model: { id: "moxi:tiny", revision: null, fingerprint: null },
    dataset: { fingerprint: hash, trainRows: 90, evalRows: 10 },
    method: "full",
    lora: null,
    adapter: null,
    training: {
      epochs: 2,
      effectiveBatch: 9,
      learningRate: 1e-3,
      schedule: "cosine",
      warmup: 0.03,
      weightDecay: 0,
      maxGradNorm: 1,
      maxSeqLength: null,
      overlong: "drop",
      earlyStopping: null,
      keep: "best",
      seed: 7,
    },
    trainer: { code: hash, lock: hash },
  },
  target: "local",
  machine: { name: "this machine", accelerator: "cpu", accelerators: 0 },
  cloud: null,
  settings: {
    microBatch: null,
    gradientCheckpointing: null,
    evalEverySteps: null,
    saveEverySteps: null,
    sampleEverySteps: null,
    generationTokens: 40,
  },
  prompts: [],
  trackers: [],
  limits: { maxSeconds: null },
  decisions: [],
});

const attempt = (n: number): Attempt => ({
  attempt: n,
  name: attemptName(run, n),
  target: "local",
  at: `2026-11-23T14:1${n}:00.000Z`,
  nonce: "0".repeat(32),
});

/** Stamps bodies as the supervisor does, one boot after the other. */
function story(...boots: { attempt: number; boot: number; bodies: EventBody[] }[]): RunEvent[] {
  return boots.flatMap(({ attempt: n, boot, bodies }) =>
    bodies.map((body, index) => ({
      v: 1 as const,
      run,
      attempt: n,
      boot,
      seq: index + 1,
      at: `2026-11-23T14:2${n}:0${index % 10}.000Z`,
      ...body,
    })),
  );
}

const step = (n: number, loss = 5): EventBody => ({
  type: "step",
  step: n,
  steps: 20,
  epoch: n / 10,
  loss,
  learningRate: 1e-3,
  gradNorm: 1,
  tokens: n * 100,
  tokensPerSecond: 50,
  memoryBytes: 1,
  seconds: 2,
});
const evaluation = (n: number, loss: number | null): EventBody => ({
  type: "eval",
  step: n,
  loss,
  rows: 10,
  tokens: 400,
  seconds: 1,
});
const end = (outcome: "succeeded" | "failed" | "stopped", exitCode: number): EventBody => ({
  type: "end",
  outcome,
  exitCode,
});

const view = (events: RunEvent[], more: Partial<FoldInput> = {}) =>
  fold({ run, plan, attempts: [attempt(1)], events, artifactPath: "/m", ...more });

describe("fold", () => {
  it("starts before the first event and runs after it", () => {
    expect(view([]).status).toBe("starting");
    const events = story({ attempt: 1, boot: 1, bodies: [{ type: "phase", name: "data" }] });
    expect(view(events).status).toBe("running");
    expect(view(events, { status: { state: "stopping" } }).status).toBe("stopping");
  });

  it("tells held-out loss before training, newest and lowest", () => {
    const bodies = [evaluation(0, 7), evaluation(5, 3), evaluation(10, 4)];
    expect(view(story({ attempt: 1, boot: 1, bodies })).heldOutLoss).toEqual({
      first: 7,
      last: 4,
      best: 3,
    });
  });

  it("drops what a resumed run does again", () => {
    const events = story(
      {
        attempt: 1,
        boot: 1,
        bodies: [evaluation(0, 7), step(1), step(2), step(3), evaluation(3, 5)],
      },
      { attempt: 1, boot: 2, bodies: [{ type: "resumed", fromStep: 1 }, step(2, 4)] },
    );
    const { steps, evals, attempts } = view(events);
    expect(steps.map((item) => [item.step, item.loss])).toEqual([
      [1, 5],
      [2, 4],
    ]);
    expect(evals.map((item) => item.step)).toEqual([0]);
    expect(attempts[0]?.boots).toBe(2);
  });

  it("ignores repeats, so that a story read twice is the same story", () => {
    const events = story({ attempt: 1, boot: 1, bodies: [step(1), step(2), end("succeeded", 0)] });
    expect(view([...events, ...events])).toEqual(view(events));
  });

  it("says interrupted when the target lost the attempt without an end", () => {
    const events = story({ attempt: 1, boot: 1, bodies: [step(1)] });
    expect(view(events, { status: { state: "gone" } }).status).toBe("interrupted");
    const ended = story({ attempt: 1, boot: 1, bodies: [step(1), end("failed", 1)] });
    expect(view(ended, { status: { state: "gone" } }).status).toBe("failed");
  });

  it("lets the newest attempt decide, and names the earlier one interrupted", () => {
    const events = story(
      { attempt: 1, boot: 1, bodies: [step(1)] },
      { attempt: 2, boot: 1, bodies: [{ type: "resumed", fromStep: 1 }, step(2)] },
    );
    const folded = view(events, { attempts: [attempt(1), attempt(2)] });
    expect(folded.status).toBe("running");
    expect(folded.attempts.map((item) => item.outcome)).toEqual(["interrupted", null]);
  });

  it("counts what earlier attempts cost, and what a machine costs that is kept after its job", () => {
    const price = { perHour: 3.6, region: "us-east-1", source: "a list", date: "2026-11-28" };
    const second: Attempt = { ...attempt(2), price, carriedSeconds: 100 };
    const status = { state: "gone", billedSeconds: 50, keptSeconds: 600 } as const;
    const { cost } = view([], { attempts: [attempt(1), second], status });
    expect(cost).toEqual({ ...price, seconds: 750, usd: 0.75 });
    expect(view([], { status }).cost).toBeNull();
  });

  it("shows an artifact only of a run that succeeded", () => {
    const artifact: EventBody = { type: "artifact", kind: "model", files: 3, bytes: 9 };
    const made = story({ attempt: 1, boot: 1, bodies: [artifact, end("succeeded", 0)] });
    expect(view(made).artifact).toEqual({ kind: "model", files: 3, bytes: 9, path: "/m" });
    const failed = story({ attempt: 1, boot: 1, bodies: [artifact, end("failed", 1)] });
    expect(view(failed).artifact).toBeNull();
  });

  it("forecasts the rest from the pace of the steps", () => {
    const { progress } = view(story({ attempt: 1, boot: 1, bodies: [step(1), step(2)] }));
    expect(progress).toMatchObject({ step: 2, steps: 20, etaSeconds: 36, tokensPerSecond: 50 });
  });

  it("does not change what it was given, and keeps no stamp in the view", () => {
    const events = story({ attempt: 1, boot: 1, bodies: [step(1)] });
    const before = JSON.stringify(events);
    expect(view(events).steps[0]).not.toHaveProperty("seq");
    expect(JSON.stringify(events)).toBe(before);
  });

  it("runs in a browser: nothing that it loads imports a Node module", async () => {
    const seen = new Set<string>();
    const visit = async (url: URL): Promise<void> => {
      if (seen.has(url.href)) return;
      seen.add(url.href);
      const source = await readFile(url, "utf8");
      for (const [, specifier] of source.matchAll(
        /^(?:import|export)(?! type)[^;]*? from "([^"]+)";/gm,
      )) {
        expect(specifier, `${url.href} imports`).toMatch(/^\.\.?\//);
        await visit(new URL(specifier!, url));
      }
    };
    await visit(new URL("fold.ts", import.meta.url));
    expect(seen.size).toBeGreaterThan(1);
  });
});
