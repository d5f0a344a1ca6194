// Runs both languages' tests and closes with one line that counts them all.
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { buildVersitygw } from "./versitygw.ts";

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

const vitestReport = "build/vitest.json";
const s3Report = "build/vitest-s3.json";
const pytestReport = "build/pytest.xml";
mkdirSync("build", { recursive: true });
for (const report of [vitestReport, s3Report, pytestReport]) rmSync(report, { force: true });

const run = (...args: string[]) => spawnSync(process.execPath, args, { stdio: "inherit" }).status;

const runVitest = (report: string, ...args: string[]) => {
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
  return run("node_modules/vitest/vitest.mjs", "run", ...reporters, ...args);
};

// A real S3 server, built beside the other tests where it is missing; its own tests come last.
const building = buildVersitygw();
const vitest = runVitest(vitestReport, "--exclude=test/s3/**");
const pytest = run(
  "scripts/python.ts",
  "-m",
  "pytest",
  "-q",
  "--config-file=trainer/pyproject.toml",
  `--junitxml=${pytestReport}`,
  "trainer/tests",
  "test/cloud",
);

if (!(await building)) {
  process.stdout.write("no Go here, so test/s3 runs against moto only\n");
}
const s3 = runVitest(s3Report, "test/s3");

const total = [vitestCounts(vitestReport), vitestCounts(s3Report), pytestCounts()].reduce(
  (sum, counts) => ({
    passed: sum.passed + counts.passed,
    failed: sum.failed + counts.failed,
    skipped: sum.skipped + counts.skipped,
  }),
);
// A runner that died without a report, or for a reason that is no test's, counts as one failure.
if (total.failed === 0 && (vitest !== 0 || s3 !== 0 || pytest !== 0)) total.failed = 1;
process.stdout.write(
  `\n${total.passed} passed, ${total.failed} failed${total.skipped > 0 ? `, ${total.skipped} skipped` : ""}\n`,
);
process.exitCode = total.failed === 0 ? 0 : 1;

function vitestCounts(file: string): Counts {
  const report = JSON.parse(readFileSync(file, "utf8")) as Record<string, number>;
  return {
    passed: report.numPassedTests!,
    failed: report.numFailedTests!,
    skipped: report.numPendingTests! + report.numTodoTests!,
  };
}

function pytestCounts(): Counts {
  const suite = /<testsuite [^>]*>/.exec(readFileSync(pytestReport, "utf8"))![0];
  const count = (name: string) => Number(new RegExp(`\\b${name}="(\\d+)"`).exec(suite)![1]);
  const failed = count("failures") + count("errors");
  return { passed: count("tests") - failed - count("skipped"), failed, skipped: count("skipped") };
}
