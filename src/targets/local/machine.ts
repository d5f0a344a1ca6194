import { execFile } from "node:child_process";
import { readFile, statfs } from "node:fs/promises";
import * as os from "node:os";
import { dirname, isAbsolute, join } from "node:path";
import { promisify } from "node:util";
import { systemCode } from "../../base/errors.ts";
import { formatBytes } from "../../base/format.ts";
import { isRecord } from "../../base/json.ts";
import type { Machine, Plan, Tracker } from "../../run/plan.ts";
import { toyModel } from "../../run/recipe.ts";
import { isIdentity } from "../../store/lock.ts";
import { isAlive } from "../../base/process.ts";
import type { Check } from "../../run/check.ts";
import type { Occupant } from "../target.ts";

/** Where a machine keeps what belongs to it and to no project. */
export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly home: string;
}

/** The file that a supervisor locks while it trains: one run a machine. */
export function machineLock({ env, home }: Surroundings): string {
  const state = env["XDG_STATE_HOME"] ?? "";
  return join(isAbsolute(state) ? state : join(home, ".local", "state"), "moxi", "machine.lock");
}

/** The run that trains on this machine now, of whatever project. */
export async function machineHolder(surroundings: Surroundings): Promise<Occupant | null> {
  let value: unknown;
  try {
    value = JSON.parse(await readFile(machineLock(surroundings), "utf8"));
  } catch (error) {
    if (systemCode(error) === "ENOENT" || error instanceof SyntaxError) return null;
    throw error;
  }
  // The text stays when its writer has gone: the kernel frees the lock, nobody the file.
  if (!isRecord(value) || !isIdentity(value) || !(await isAlive(value))) return null;
  const { run, folder }: Record<string, unknown> = value;
  return typeof run === "string" && typeof folder === "string" ? { run, folder } : null;
}

export async function findMachine(
  env: Surroundings["env"],
  platform: NodeJS.Platform = os.platform(),
  arch: string = os.arch(),
): Promise<Machine> {
  const name = "this machine";
  const gpus = await countGpus(env);
  if (gpus > 0) return { name, accelerator: "cuda", accelerators: gpus };
  if (platform === "darwin" && arch === "arm64")
    return { name, accelerator: "mps", accelerators: 1 };
  return { name, accelerator: "cpu", accelerators: 0 };
}

/** NVIDIA's tool lists every GPU; CUDA uses those that the user left visible. */
async function countGpus(env: Surroundings["env"]): Promise<number> {
  let listed: string;
  try {
    listed = (await promisify(execFile)("nvidia-smi", ["-L"], { env, timeout: 10_000 })).stdout;
  } catch {
    return 0; // no such tool, or no driver behind it
  }
  const gpus = listed.split("\n").filter((line) => /^GPU \d+:/.test(line)).length;
  const visible = env["CUDA_VISIBLE_DEVICES"];
  if (visible === undefined) return gpus;
  const chosen = visible.split(",").filter((id) => id.trim() !== "" && id.trim() !== "-1");
  return Math.min(gpus, chosen.length);
}

/** Whether the disk has room for a run's checkpoints and model. */
export async function checkDisk(folder: string, plan: Plan): Promise<Check> {
  return judgeRoom(await freeBytes(folder), folder, plan);
}

/** Whether the interpreter that trains has what the method needs besides the locked layer. */
export async function checkMethod(python: string, env: Surroundings["env"], plan: Plan) {
  const name = "method";
  if (plan.recipe.method !== "qlora") return [];
  const question =
    "import importlib.util, sys; sys.exit(not importlib.util.find_spec('bitsandbytes'))";
  try {
    await promisify(execFile)(python, ["-I", "-c", question], { env, timeout: 60_000 });
    return [{ name, result: "ok", message: "bitsandbytes is installed" }] satisfies Check[];
  } catch {
    const message = "qlora needs the package bitsandbytes, which Moxi does not install";
    const hint = `uv pip install --python ${python} bitsandbytes`;
    return [{ name, code: "E_PYTHON_INSTALL", result: "failed", message, hint }] satisfies Check[];
  }
}

const trackerPackages: Readonly<Record<Tracker, readonly string[]>> = {
  tensorboard: ["tensorboard", "tensorboardX"],
  wandb: ["wandb"],
  mlflow: ["mlflow"],
  comet: ["comet_ml"],
  trackio: ["trackio"],
};

/** Whether the interpreter that trains has the trackers that were asked for. */
export async function checkTrackers(
  python: string,
  env: Surroundings["env"],
  { trackers }: Plan,
): Promise<Check[]> {
  if (trackers.length === 0) return [];
  const asked = Object.fromEntries(trackers.map((name) => [name, trackerPackages[name]]));
  const question = `
import importlib.util, json, sys
asked = json.loads(sys.argv[1])
print(json.dumps([name for name in asked if not any(map(importlib.util.find_spec, asked[name]))]))`;
  const options = { env, timeout: 60_000 };
  const args = ["-I", "-c", question, JSON.stringify(asked)];
  const { stdout } = await promisify(execFile)(python, args, options);
  const lacking = JSON.parse(stdout) as Tracker[];
  return trackers.map((tracker): Check => {
    const name = `tracker ${tracker}`;
    const [main] = trackerPackages[tracker];
    const what = main!.replace("_", "-");
    if (!lacking.includes(tracker)) return { name, result: "ok", message: `${what} is installed` };
    const message = `the tracker ${tracker} needs the package ${what}, which Moxi does not install`;
    const hint = `uv pip install --python ${python} ${what}`;
    return { name, code: "E_PYTHON_INSTALL", result: "failed", message, hint };
  });
}

/** In bytes: what the smallest run fills, and what the usual ones do (their models are not known). */
const least = 100e6;
const usual = { lora: 1e9, qlora: 1e9, full: 5e9 };

export function judgeRoom(free: number, folder: string, plan: Plan): Check {
  const { model, method } = plan.recipe;
  const likely = model.id === toyModel ? least : usual[method];
  const told = `${formatBytes(free)} are free on the disk that holds ${folder}`;
  if (free >= likely) return { name: "disk", result: "ok", message: told };
  const hint = "free some space (df -h shows where), then run the same command again";
  const [need, result] =
    free < least
      ? ([`a run needs at least ${formatBytes(least)}`, "failed"] as const)
      : ([`checkpoints and model may need ${formatBytes(likely)}`, "warning"] as const);
  const check = { name: "disk", result, message: `${told}; ${need}`, hint };
  return result === "failed" ? { ...check, code: "E_DISK_FULL" } : check;
}

/** Of the nearest folder above that is there already. */
async function freeBytes(folder: string): Promise<number> {
  try {
    const { bavail, bsize } = await statfs(folder);
    return bavail * bsize;
  } catch (error) {
    if (systemCode(error) !== "ENOENT" || folder === dirname(folder)) throw error;
    return freeBytes(dirname(folder));
  }
}
