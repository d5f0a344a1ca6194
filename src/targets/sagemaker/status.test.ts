import { describe, expect, test } from "vitest";
import type { TrainingJob } from "../../aws/sagemaker.ts";
import { endStatus, hasEnded, liveStatus } from "./status.ts";

const at = (minute: number) => new Date(Date.UTC(2026, 10, 28, 14, minute));
const job: TrainingJob = {
  name: "moxi-a-a1",
  status: "InProgress",
  secondary: "Training",
  turns: [],
  failure: undefined,
  endedAt: undefined,
  artifact: undefined,
  checkpoints: undefined,
  billedSeconds: undefined,
  trainedSeconds: undefined,
  keptSeconds: undefined,
  channels: {},
  instance: "ml.g5.2xlarge",
  count: 1,
  spot: false,
  environment: {},
};

describe("how a job ended that did not tell it itself", () => {
  const outcome = (changes: Partial<TrainingJob>) => {
    const ended = { ...job, endedAt: at(9), ...changes };
    expect(hasEnded(ended)).toBe(true);
    return endStatus(ended);
  };

  test.each([
    ["MaxRuntimeExceeded", "stopped", "the time limit of the run is reached"],
    ["Stopped", "stopped", "stopped"],
    ["MaxWaitTimeExceeded", "failed", "no spot machine came within the time limit"],
  ])("Stopped by %s is no success", (secondary, expected, detail) => {
    expect(outcome({ status: "Stopped", secondary })).toMatchObject({ outcome: expected, detail });
  });

  test("a failure has the service's reason", () => {
    const failure = "CapacityError: Unable to provision requested ML compute capacity.";
    const told = outcome({ status: "Failed", secondary: "Failed", failure });
    expect(told).toMatchObject({ state: "gone", outcome: "failed", detail: failure });
  });

  test("a completion without a word has shown nothing", () => {
    expect(outcome({ status: "Completed", secondary: "Completed" })).not.toHaveProperty("outcome");
  });
});

describe("what is paid so far", () => {
  const turn = (status: string, from: number, to?: number) => ({
    status,
    message: "",
    at: at(from),
    endedAt: to === undefined ? undefined : at(to),
  });
  const turns = [
    turn("Starting", 0, 2),
    turn("Downloading", 2, 3),
    turn("Training", 3, 5),
    turn("Interrupted", 5, 15),
    turn("Starting", 15, 16),
    turn("Training", 16),
  ];

  test("waiting for a machine is free", () => {
    expect(liveStatus({ ...job, turns, spot: true }, at(20))).toMatchObject({
      state: "running",
      billedSeconds: 7 * 60,
      machine: "ml.g5.2xlarge",
    });
  });

  test("the service's own count goes before, with the discount of spot in it", () => {
    const told = endStatus({
      ...job,
      turns,
      status: "Completed",
      secondary: "Completed",
      endedAt: at(20),
      billedSeconds: 126,
      keptSeconds: 600,
    });
    expect(told).toMatchObject({ billedSeconds: 126, keptSeconds: 600 });
  });
});
