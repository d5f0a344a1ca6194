import { mkdtemp, readdir, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { isMoxiError, MoxiError, toMoxiError } from "./errors.ts";
import { writeFileAtomic } from "./files.ts";
import { formatBytes, formatDuration, nearestName, printable } from "./format.ts";
import { canonicalJson } from "./json.ts";

describe("errors", () => {
  it("carry the exit code and source of their kind", () => {
    const error = new MoxiError("E_DATASET_EMPTY", "no rows", { place: { file: "a.json" } });
    expect([error.exitCode, error.source, isMoxiError(error)]).toEqual([3, "user", true]);
    expect(JSON.parse(JSON.stringify(error))).toEqual({
      code: "E_DATASET_EMPTY",
      message: "no rows",
      source: "user",
      exitCode: 3,
      place: { file: "a.json" },
    });
  });

  it("are made of what Node throws", () => {
    const full = Object.assign(new Error("ENOSPC: no space"), { code: "ENOSPC", path: "/x" });
    expect(toMoxiError(full)).toMatchObject({ code: "E_DISK_FULL", place: { file: "/x" } });
    expect(toMoxiError("what").code).toBe("E_INTERNAL");
  });
});

describe("files", () => {
  it("are written whole, with nothing left beside them", async () => {
    const folder = await mkdtemp(join(tmpdir(), "moxi-base-"));
    await writeFileAtomic(join(folder, "a"), "one");
    await writeFileAtomic(join(folder, "a"), "two");
    expect(await readFile(join(folder, "a"), "utf8")).toBe("two");
    expect(await readdir(folder)).toEqual(["a"]);
  });
});

describe("format", () => {
  it("says durations and sizes as people do", () => {
    expect([0, 59.6, 192, 7500].map(formatDuration)).toEqual(["0s", "1m 00s", "3m 12s", "2h 05m"]);
    expect([0, 999, 1000, 5_600_000_000].map(formatBytes)).toEqual([
      "0 B",
      "999 B",
      "1.0 kB",
      "5.6 GB",
    ]);
  });

  it("finds the name that was meant, and none when nothing is near", () => {
    expect(nearestName("epohcs", ["epochs", "model"])).toBe("epochs");
    expect(nearestName("learning_rate", ["learningRate", "lora"])).toBe("learningRate");
    expect(nearestName("zzz", ["epochs", "model"])).toBeUndefined();
  });

  it("makes foreign text safe to print", () => {
    expect(printable("a\u001b[31mb\u202ec\r\n\td\u009b\ud800é😀")).toBe(
      "a\\u001b[31mb\\u202ec\\u000d\n\td\\u009b\\ud800é😀",
    );
  });
});

describe("json", () => {
  it("is the same text for equal values", () => {
    expect(canonicalJson({ b: [{ d: 1, c: 2 }], a: null })).toBe('{"a":null,"b":[{"c":2,"d":1}]}');
  });
});
