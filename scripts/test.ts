// Runs both languages' tests and closes with one line that counts them all.
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

const vitestReport = "build/vitest.json";
const pytestReport = "build/pytest.xml";
mkdirSync("build", { recursive: true });
for (const report of [vitestReport, pytestReport]) rmSync(report, { force: true });

const run = (...args: string[]) => spawnSync(process.execPath, args, { stdio: "inherit" }).status;

const vitest = run(
  "node_modules/vitest/vitest.mjs",
  "run",
  "--reporter=default",
  "--reporter=json",
  `--outputFile.json=${vitestReport}`,
);
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

const total = [vitestCounts(), pytestCounts()].reduce((sum, counts) => ({
  passed: sum.passed + counts.passed,
  failed: sum.failed + counts.failed,
  skipped: sum.skipped + counts.skipped,
}));
// A runner that died without a report, or for a reason that is no test's, counts as one failure.
if (total.failed === 0 && (vitest !== 0 || pytest !== 0)) total.failed = 1;
process.stdout.write(
  `\n${total.passed} passed, ${total.failed} failed${total.skipped > 0 ? `, ${total.skipped} skipped` : ""}\n`,
);
process.exitCode = total.failed === 0 ? 0 : 1;

function vitestCounts(): Counts {
  const report = JSON.parse(readFileSync(vitestReport, "utf8")) as Record<string, number>;
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
