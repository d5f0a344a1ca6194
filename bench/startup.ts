// How long a command takes to start, on the bundle, beside Node itself doing nothing. Everything
// is measured in turns in one run, because a machine is faster in one minute than in the next.
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { bundle } from "../scripts/build.ts";
import { newRunId } from "../src/run/id.ts";
import { attempt, events, plan } from "../test/fixtures/story.ts";

const rounds = 40;
const recordedRuns = 10_000;
/** Only the newest are read; the older ones are there to be listed and left alone. */
const wholeRuns = 50;

const root = fileURLToPath(new URL("..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "moxi-bench-"));
try {
  const program = await makePackage(join(folder, "package"));
  const project = recordRuns(join(folder, "project"));
  const listed = run([program, "runs", "--json"], project);
  const { runs } = JSON.parse(listed.stdout) as { runs: { status: string }[] };
  if (runs.length !== 20 || runs.some(({ status }) => status !== "succeeded")) {
    throw new Error(`the recorded runs are not listed as they are: ${listed.stdout}`);
  }

  const cases = [
    { name: "node -e 0", args: ["-e", "0"] },
    { name: "moxi --help", args: [program, "--help"], limit: 1.5 },
    { name: "moxi runs, of 10,000", args: [program, "runs"], limit: 3 },
  ];
  const times = cases.map((): number[] => []);
  for (let round = 0; round < rounds; round++) {
    cases.forEach(({ args }, index) => times[index]!.push(run(args, project).milliseconds));
  }
  const medians = times.map((list) => list.sort((a, b) => a - b)[list.length >> 1]!);
  process.stdout.write(`Node ${process.version}, median of ${rounds}\n\n`);
  for (const [index, { name, limit }] of cases.entries()) {
    const times = medians[index]! / medians[0]!;
    const within = limit === undefined || times <= limit;
    const verdict =
      limit === undefined ? "" : `${within ? "within" : "OVER"} ${limit.toFixed(1)} x`;
    process.stdout.write(
      `${name.padEnd(22)} ${medians[index]!.toFixed(1).padStart(6)} ms  ${times.toFixed(2)} x  ${verdict}`.trimEnd() +
        "\n",
    );
    if (!within) process.exitCode = 1;
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** The program as the package holds it: without sources, so that the bundle runs. */
async function makePackage(target: string): Promise<string> {
  mkdirSync(target, { recursive: true });
  for (const part of ["bin", "package.json", "trainer"]) {
    cpSync(join(root, part), join(target, part), { recursive: true });
  }
  await bundle(join(target, "dist"));
  return join(target, "bin", "moxi.cjs");
}

/** A project with many runs that have succeeded, in the files that a run leaves. */
function recordRuns(project: string): string {
  const planText = JSON.stringify(plan(), null, 2);
  const whole = events({ end: "succeeded" });
  const short = events({ steps: 1, end: "succeeded" });
  for (let index = 0; index < recordedRuns; index++) {
    const id = newRunId(new Date(Date.UTC(2026, 0, 1) + index * 60_000));
    const folder = join(project, ".moxi", "runs", id);
    const story = (index >= recordedRuns - wholeRuns ? whole : short).map(
      (event) => `@moxi:${attempt.nonce} ${JSON.stringify({ ...event, run: id })}`,
    );
    mkdirSync(join(folder, "output"), { recursive: true });
    writeFileSync(join(folder, "plan.json"), `${planText}\n`);
    writeFileSync(
      join(folder, "attempts.ndjson"),
      `${JSON.stringify({ ...attempt, name: `${id}-a1` })}\n`,
    );
    writeFileSync(join(folder, "output", "attempt-1.log"), `${story.join("\n")}\n`);
  }
  return project;
}

function run(args: string[], cwd: string): { milliseconds: number; stdout: string } {
  const start = performance.now();
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd, encoding: "utf8" });
  const milliseconds = performance.now() - start;
  if (status !== 0) throw new Error(`${args.join(" ")} ended with ${status}: ${stderr}`);
  return { milliseconds, stdout };
}
