// Long randomised runs, for `make soak`. A real training is killed at random moments (SIGKILL, in
// whatever it does), started again each time, and must end with the very bits of one that nobody
// disturbed. The seed is printed; `make soak SEED=n` repeats its moments as far as a clock can.
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { sha256 } from "../src/base/hash.ts";
import { ensurePython } from "../src/python/ensure.ts";

const root = resolve(import.meta.dirname, "..");
const kills = Number(process.env["KILLS"] ?? 20);
const seed = Number(process.env["SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const dataset = resolve(root, process.env["DATASET"] ?? "data/sft/training_dataset.json");
const { PYTHONDONTWRITEBYTECODE: _, ...environment } = process.env;
const { python } = await ensurePython({
  env: environment,
  home: homedir(),
  host: { notify: (notice) => say(notice.text) },
  lockFile: join(root, "trainer/locks/local.txt"),
});
const random = mulberry32(seed);
const folder = mkdtempSync(join(tmpdir(), "moxi-soak-"));
say(`seed ${seed}, ${kills} kills, ${folder}`);

const whole = await train("whole");
if (whole.code !== 0) fail(`the undisturbed training ended with ${whole.code}`, whole.output);
// What a kill may hit: start-up a fifth of the time, else any moment of a share of the training.
const slice = (3 * (whole.seconds - whole.startup)) / kills;
let [done, runs, files] = [0, 0, 0];
while (done < kills) {
  const name = `killed-${++runs}`;
  let code: number | null = null;
  while (code === null) {
    const inStartup = random() < 0.2;
    const after = inStartup ? random() * whole.startup : random() * slice;
    // One that was killed often enough is left alone; one that came to its end early has a follower.
    const ended = await train(name, done < kills ? { inStartup, after } : undefined);
    ({ code } = ended);
    if (code === 0) break;
    if (code !== null) fail(`a resumed training ended with ${code}`, ended.output);
    done++;
    const from = /going on from step (\d+)/.exec(ended.output)?.[1] ?? "the start";
    const when = `${after.toFixed(1)} s ${inStartup ? "after the start" : "into the training"}`;
    say(`  kill ${done}: ${when}, had gone on from ${from}`);
  }
  const [expected, found] = [contents("whole"), contents(name)];
  const differing = Object.keys({ ...expected, ...found }).filter(
    (file) => expected[file] !== found[file],
  );
  if (differing.length > 0) fail(`these differ: ${differing.join(", ")}`, "");
  files = Object.keys(expected).length;
  say(`${done} kills so far, ${files} files equal to the last bit`);
}
rmSync(folder, { recursive: true });
const each = `each of ${runs} trainings ended with the ${files} files of the undisturbed one`;
say(`soak passed: ${done} of ${kills} kills seen, ${each}, equal to the last bit (seed ${seed})`);

/** Trains in a folder until it ends or is killed: its exit code (null when killed) and its times. */
async function train(
  name: string,
  kill?: { inStartup: boolean; after: number },
): Promise<{ code: number | null; output: string; startup: number; seconds: number }> {
  const flags = ["--dataset", dataset, "--output-dir", join(folder, name), "--method", "full"];
  const rhythm = ["--eval-every-steps", "20", "--save-every-steps", "7"];
  const more = ["--epochs", process.env["EPOCHS"] ?? "1", "--generation-tokens", "4"];
  const child = spawn(python, ["-m", "moxi_train.finetune.main", ...flags, ...rhythm, ...more], {
    cwd: root,
    // The same number of threads adds in the same order.
    env: { ...environment, PYTHONPATH: join(root, "trainer"), OMP_NUM_THREADS: "1" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const begun = performance.now();
  const since = () => (performance.now() - begun) / 1000;
  const killSoon = () => setTimeout(() => child.kill("SIGKILL"), (kill?.after ?? 0) * 1000);
  let [output, startup] = ["", 0];
  let timer = kill?.inStartup === true ? killSoon() : undefined;
  const take = (data: Buffer) => {
    output += data.toString("utf8");
    if (startup === 0 && /^training$/m.test(output)) {
      startup = since();
      if (kill?.inStartup === false) timer = killSoon();
    }
  };
  child.stdout.on("data", take);
  child.stderr.on("data", take);
  const code = await new Promise<number | null>((settle) => child.on("close", settle));
  clearTimeout(timer);
  return { code, output, startup, seconds: since() };
}

/** The weights, the optimizer and the generators that a training left, by their hashes. */
function contents(name: string): Record<string, string> {
  const checkpoints = join(folder, name, "checkpoints");
  const newest = readdirSync(checkpoints)
    .filter((each) => each.startsWith("step-"))
    .sort()
    .at(-1)!;
  const manifest = JSON.parse(readFileSync(join(checkpoints, newest, "manifest.json"), "utf8")) as {
    files: Record<string, { sha256: string }>;
  };
  const saved = Object.entries(manifest.files)
    .filter(([file]) => file !== "trainer_state.json") // it holds times
    .map(([file, { sha256: hash }]) => [`${newest}/${file}`, hash]);
  const artifact = readFileSync(join(folder, name, "model/model.safetensors"));
  return { ...Object.fromEntries(saved), "model.safetensors": sha256(artifact) };
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function fail(what: string, output: string): never {
  say(output.split("\n").slice(-20).join("\n"));
  say(`soak failed: ${what} (seed ${seed}; ${folder} is kept)`);
  process.exit(1);
}

/** A small generator with a seed (T. Ettinger's mulberry32): numbers from 0 to 1. */
function mulberry32(state: number): () => number {
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
