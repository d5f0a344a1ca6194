import { spawn } from "node:child_process";
import { open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { kill } from "node:process";
import { MoxiError, systemCode } from "../../base/errors.ts";
import { printable } from "../../base/format.ts";
import { isRecord } from "../../base/json.ts";
import { isIdentity } from "../../store/lock.ts";
import { isAlive } from "../../base/process.ts";
import type { ProcessIdentity } from "../../base/process.ts";
import type { AttemptFiles } from "./files.ts";

export interface Processes {
  readonly supervisor: ProcessIdentity;
  /** Missing before the trainer was started. */
  readonly trainer?: ProcessIdentity;
}

/** What bootstrap.py wrote of itself and of the trainer; undefined before it came to life. */
export async function readProcesses(files: AttemptFiles): Promise<Processes | undefined> {
  let text: string;
  try {
    text = await readFile(files.processes, "utf8");
  } catch (error) {
    if (systemCode(error) === "ENOENT") return undefined;
    throw error;
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined; // written whole and renamed, so that only a machine that lost power tears it
  }
  if (!isRecord(value) || !isIdentity(value)) return undefined;
  const trainer = value["trainer"];
  return { supervisor: value, ...(isIdentity(trainer) && { trainer }) };
}

export interface Launch {
  readonly python: string;
  /** The ML root. */
  readonly folder: string;
  readonly files: AttemptFiles;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly sleep: (milliseconds: number) => Promise<void>;
}

const pauseMs = 50;
const patienceMs = 60_000;

/**
 * Starts bootstrap.py in a session of its own, so that it outlives this process and its terminal;
 * returns when it lives. E_PYTHON_MISSING, E_DISK_FULL or E_RUN_FAILED, with what it printed, when
 * it died before.
 */
export async function launch({ python, folder, files, env, sleep }: Launch): Promise<void> {
  const log = await open(files.log, "a");
  try {
    let ended: string | undefined;
    const child = spawn(python, [join(folder, "input", "data", "moxi", "bootstrap.py")], {
      cwd: folder,
      detached: true,
      stdio: ["ignore", log.fd, log.fd],
      env: { ...withoutPython(env), MOXI_ML_ROOT: folder },
    });
    child.once("error", (error) => (ended = systemCode(error) ?? error.message));
    child.once("exit", (code, signal) => (ended = signal ?? `exit code ${code}`));
    child.unref();
    for (let waited = 0; (await readProcesses(files)) === undefined; waited += pauseMs) {
      if (ended !== undefined) throw await startFailure(python, ended, files.log);
      if (waited >= patienceMs) {
        child.kill("SIGKILL");
        throw await startFailure(python, `nothing for ${patienceMs / 1000} s`, files.log);
      }
      await sleep(pauseMs);
    }
  } finally {
    await log.close();
  }
}

/** PYTHONPATH, PYTHONHOME and their like would change what the trainer imports. */
function withoutPython(env: Launch["env"]): Launch["env"] {
  return Object.fromEntries(Object.entries(env).filter(([key]) => !key.startsWith("PYTHON")));
}

async function startFailure(python: string, ended: string, log: string): Promise<MoxiError> {
  if (ended === "ENOENT" || ended === "EACCES") {
    return new MoxiError("E_PYTHON_MISSING", `${python} cannot be started`, {
      hint: "run the same command again: it installs what is missing",
      place: { file: python },
    });
  }
  const printed = (await readFile(log, "utf8")).trim();
  const details = printable(printed).split("\n").slice(-10);
  const code = printed.includes("No space left on device") ? "E_DISK_FULL" : "E_RUN_FAILED";
  return new MoxiError(code, `the run could not be started (${ended}): ${details.at(-1)}`, {
    hint: code === "E_DISK_FULL" ? "free some space, then moxi resume" : `its log is in ${log}`,
    place: { file: log },
    details,
  });
}

/** Signals a process, or the group that it leads; nothing when it is another process by now. */
export async function signal(
  identity: ProcessIdentity | undefined,
  name: "SIGTERM" | "SIGKILL",
  group: boolean,
): Promise<void> {
  if (identity === undefined || !(await isAlive(identity))) return;
  try {
    kill(group ? -identity.pid : identity.pid, name);
  } catch (error) {
    if (systemCode(error) !== "ESRCH") throw error; // it ended in between
  }
}
