import { describe, expect, it } from "vitest";
import { newRunId, normalRunId, runTime } from "./id.ts";

describe("run ids", () => {
  const now = new Date("2026-11-23T14:12:07.650Z");

  it("sort by time, are readable and fit a job name with its attempt", () => {
    const id = newRunId(now, () => 0.5);
    expect(id).toMatch(/^moxi-20261123-141207-[a-z]+-[a-z]+-[2-9a-z]{4}$/);
    expect(newRunId(new Date(now.getTime() + 1000)) > id).toBe(true);
    for (let i = 0; i < 200; i++) expect(normalRunId(newRunId(now))).toBeDefined();
    expect(newRunId(now, () => 0.999_999).length).toBeLessThanOrEqual(55);
  });

  it("tell their time", () => {
    expect(runTime(newRunId(now))).toEqual(new Date("2026-11-23T14:12:07Z"));
    expect(runTime("moxi-ci-42")).toBeUndefined();
  });

  it("may be chosen, within the alphabet of job and folder names", () => {
    expect(normalRunId("ci-42")).toBe("moxi-ci-42");
    expect(normalRunId("moxi-ci-42")).toBe("moxi-ci-42");
    for (const bad of ["", "../x", "A", "a b", "-", "a-", "x".repeat(60)]) {
      expect(normalRunId(bad), bad).toBeUndefined();
    }
  });
});
