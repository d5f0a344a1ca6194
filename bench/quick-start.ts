// What `make train` promises: how soon the first step comes, how long it takes, how far the held-out
// loss falls, and whether the model writes like a README afterwards and did not before.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { RunEvent } from "../src/run/event.ts";
import type { View } from "../src/run/fold.ts";

const root = resolve(import.meta.dirname, "..");
const moxi = (...args: string[]) =>
  spawnSync(process.execPath, [join(root, "bin/moxi.cjs"), ...args], {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });

if (!existsSync(join(root, "data/sft/training_dataset.json"))) {
  throw new Error("the example dataset is missing: run make train once");
}
const begun = Date.now();
const trained = moxi("train", "--json");
const seconds = (Date.now() - begun) / 1000;
if (trained.status !== 0) throw new Error(trained.stdout + trained.stderr);

const events = trained.stdout
  .trimEnd()
  .split("\n")
  .map((line) => JSON.parse(line) as RunEvent)
  .filter((event) => "seq" in event);
const firstStep = events.find((event) => event.type === "step")!;
const { run } = firstStep;
const view = JSON.parse(moxi("show", "--json", run).stdout) as View;

const train = join(root, `.moxi/runs/${run}/input/data/train`);
const vocabulary = new Set(
  readdirSync(train).flatMap((name) => words(readFileSync(join(train, name), "utf8"))),
);
const loss = view.heldOutLoss.last! / view.heldOutLoss.first!;
const before = view.generations.filter(({ step }) => step === 0);
const after = view.generations.filter(({ step }) => step === view.progress!.steps);

report(
  "process start to first step",
  `${sinceStart(firstStep).toFixed(1)} s`,
  sinceStart(firstStep) <= 30,
);
report("process start to model on disk", `${seconds.toFixed(1)} s`, seconds <= 300);
report("held-out loss, after / before", `${loss.toFixed(3)} x`, loss <= 0.65);
report(
  "samples like a README, before",
  `${count(before)} of ${before.length}`,
  count(before) === 0,
);
report(
  "samples like a README, after",
  `${count(after)} of ${after.length}`,
  count(after) === after.length,
);

function report(name: string, value: string, holds: boolean): void {
  process.stdout.write(
    `${name.padEnd(32)} ${value.padStart(10)}  ${holds ? "as promised" : "MISSED"}\n`,
  );
  if (!holds) process.exitCode = 1;
}

function sinceStart(event: RunEvent): number {
  return (Date.parse(event.at) - begun) / 1000;
}

function count(samples: View["generations"]): number {
  return samples.filter(({ text }) => isLikeReadme(text)).length;
}

/** Starts with a heading, has a second element of Markdown, and mostly words that were trained on. */
function isLikeReadme(text: string): boolean {
  const found = words(text);
  const known = found.filter((word) => vocabulary.has(word)).length;
  const structure = /^(?:```|[-*] |\d+\. |\|)|`[^`\n]+`|\n#{1,6} /m.test(text);
  return text.startsWith("#") && structure && known >= 0.6 * found.length && found.length >= 3;
}

function words(text: string): string[] {
  return (text.match(/\p{L}{2,}/gu) ?? []).map((word) => word.toLowerCase());
}
