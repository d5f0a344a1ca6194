// Runs both languages' tests and closes with one line that counts them all.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync } from "node:fs";
import { buildVersitygw } from "./versitygw.ts";

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

const none: Counts = { passed: 0, failed: 0, skipped: 0 };
const vitestReport = "build/vitest.json";
const s3Report = "build/vitest-s3.json";
const pytestReport = "build/pytest.xml";
const pytestOutput = "build/pytest.txt";
mkdirSync("build", { recursive: true });
for (const report of [vitestReport, s3Report, pytestReport]) rmSync(report, { force: true });

/** How long a runner may stay after its report is written. */
const leaving = 60_000;

/** A command's exit code; null when it was killed. `report` is the last thing that it makes. */
function run(args: readonly string[], report: string, out: "inherit" | number) {
  const child = spawn(process.execPath, args, { stdio: ["ignore", out, out] });
  // A process that a test has left behind can keep a runner waiting for ever.
  let reported = 0;
  const watch = setInterval(() => {
    if (!existsSync(report)) return;
    reported ||= Date.now();
    if (Date.now() - reported < leaving) return;
    process.stderr.write(`${args[0]} wrote its report, but does not end: killed\n`);
    child.kill("SIGKILL");
  }, 5_000);
  return once(child, "exit").then(([code]) => {
    clearInterval(watch);
    return code as number | null;
  });
}

const runVitest = (report: string, ...args: string[]) => {
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
  const all = ["node_modules/vitest/vitest.mjs", "run", ...reporters, ...args];
  return run(all, report, "inherit");
};

// A real S3 server, built beside the other tests where it is missing; its own tests come last.
const building = buildVersitygw();
// Many tests of both languages wait for programs more than they compute: side by side they take
// half the time. What pytest says comes after what vitest says.
const heard = openSync(pytestOutput, "w");
const pytestArgs = ["-q", "--config-file=trainer/pyproject.toml", `--junitxml=${pytestReport}`];
const running = run(
  ["scripts/python.ts", "-m", "pytest", ...pytestArgs, "trainer/tests", "test/cloud"],
  pytestReport,
  heard,
);
const vitest = await runVitest(vitestReport, "--exclude=test/s3/**");
const pytest = await running;
closeSync(heard);
process.stdout.write(readFileSync(pytestOutput));

if (!(await building)) {
  process.stdout.write("no Go here, so test/s3 runs against moto only\n");
}
const s3 = await runVitest(s3Report, "test/s3");

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
  if (!existsSync(file)) return none;
  const report = JSON.parse(readFileSync(file, "utf8")) as Record<string, number>;
  return {
    passed: report.numPassedTests!,
    failed: report.numFailedTests!,
    skipped: report.numPendingTests! + report.numTodoTests!,
  };
}

function pytestCounts(): Counts {
  if (!existsSync(pytestReport)) return none;
  const suite = /<testsuite [^>]*>/.exec(readFileSync(pytestReport, "utf8"))![0];
  const count = (name: string) => Number(new RegExp(`\\b${name}="(\\d+)"`).exec(suite)![1]);
  const failed = count("failures") + count("errors");
  return { passed: count("tests") - failed - count("skipped"), failed, skipped: count("skipped") };
}
