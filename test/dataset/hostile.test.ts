import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { isMoxiError } from "../../src/base/errors.ts";
import { checkDataset } from "../../src/dataset/check.ts";
import { placeText, problemText } from "../../src/dataset/telling.ts";
import { hostileCases } from "./hostile.ts";

// 300 hostile or odd datasets: each gets its verdict, nothing crashes, hangs or is obeyed.

const folder = mkdtempSync(join(tmpdir(), "moxi-hostile-"));
afterAll(() => rmSync(folder, { recursive: true }));

const cases = hostileCases();
let largest = 0;

async function verdictOf(path: string): Promise<{ verdict: string; told: string }> {
  try {
    const check = await checkDataset({ path, cwd: folder });
    const errors = check.problems.filter(({ severity }) => severity === "error");
    const told = check.problems.flatMap((problem) => [
      problemText(problem),
      ...problem.places.map(placeText),
    ]);
    const verdict =
      errors
        .map(({ code }) => code)
        .sort()
        .join(",") || "ok";
    return { verdict, told: told.join("\n") };
  } catch (error) {
    // Whatever is no error of ours is a crash.
    if (!isMoxiError(error) || error.code === "E_INTERNAL") throw error;
    return {
      verdict: error.code,
      told: `${error.message} ${error.hint} ${error.details.join(" ")}`,
    };
  }
}

function allows(verdict: string, found: string): boolean {
  if (verdict === "any" || verdict === found) return true;
  return verdict
    .split("-or-")
    .some((one) => found === one || found.split(",").some((code) => code.startsWith(one)));
}

test("there are 300 of them", () => {
  expect(cases.length).toBeGreaterThanOrEqual(300);
});

test.each(cases)("$name", async ({ verdict, write }) => {
  const { verdict: found, told } = await verdictOf(write(folder));
  expect(allows(verdict, found), `${found}, not ${verdict}: ${told.slice(0, 300)}`).toBe(true);
  // eslint-disable-next-line no-control-regex -- these must not be there
  expect(told).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/);
  expect(told).not.toMatch(/\n\s+at |TypeError|RangeError/);
  expect(({} as { polluted?: number }).polluted).toBeUndefined();
  largest = Math.max(largest, told.length);
});

test("a FIFO is refused at once, alone and in a folder", async () => {
  execFileSync("mkfifo", [join(folder, "fifo.jsonl")]);
  expect((await verdictOf("fifo.jsonl")).verdict).toBe("E_DATASET_NOT_A_FILE");
});

test("all of them together take at most 330 MB, in a process of their own", () => {
  const paths = cases.map(({ write }) => write(mkdtempSync(join(folder, "again-"))));
  const folders = readdirSync(folder).filter((name) => name.startsWith("again-"));
  expect(folders).toHaveLength(paths.length);
  const check = new URL("../../src/dataset/check.ts", import.meta.url).href;
  const program = `
    import { readdirSync } from "node:fs";
    import { checkDataset } from ${JSON.stringify(check)};
    for (const base of ${JSON.stringify(folders)}) {
      const cwd = ${JSON.stringify(folder)} + "/" + base;
      for (const path of readdirSync(cwd)) await checkDataset({ path, cwd }).catch(() => {});
    }
    process.stdout.write(String(process.resourceUsage().maxRSS));`;
  const kilobytes = Number(execFileSync(process.execPath, ["--input-type=module", "-e", program]));
  expect(kilobytes).toBeGreaterThan(30_000);
  expect(kilobytes / 1000).toBeLessThanOrEqual(330);
});

test("what is told stays short, whatever the rows hold", () => {
  expect(largest).toBeLessThan(30_000);
});
