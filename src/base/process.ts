import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { platform } from "node:os";
import { promisify } from "node:util";
import { systemCode } from "./errors.ts";

/** Names a process for good: its id alone is given out again. */
export interface ProcessIdentity {
  readonly pid: number;
  /** In the kernel's words; only ever compared. */
  readonly startTime: string;
}

/** When a process started; undefined when none with this id is alive. bootstrap.py writes the same words. */
export async function processStartTime(pid: number): Promise<string | undefined> {
  // A zombie has ended: in a container whose first process reaps nobody it stays for ever.
  const { state, startTime } = platform() === "linux" ? await fromProc(pid) : await fromPs(pid);
  return state === "" || "ZX".includes(state) ? undefined : startTime;
}

export async function isAlive(identity: ProcessIdentity): Promise<boolean> {
  return (await processStartTime(identity.pid)) === identity.startTime;
}

const nobody = { state: "", startTime: "" };

async function fromProc(pid: number): Promise<typeof nobody> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, "utf8");
    // proc_pid_stat(5): the second field is the program's name in brackets and may hold anything,
    // brackets too. After it come the third field, the state, and the twenty-second, the start.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return { state: fields[0]!, startTime: fields[19]! };
  } catch (error) {
    if (["ENOENT", "ESRCH"].includes(systemCode(error) ?? "")) return nobody;
    throw error;
  }
}

async function fromPs(pid: number): Promise<typeof nobody> {
  try {
    const { stdout } = await promisify(execFile)(
      "/bin/ps",
      ["-o", "stat=", "-o", "lstart=", "-p", String(pid)],
      { env: { LC_ALL: "C", TZ: "UTC" } },
    );
    const [state = "", ...start] = stdout.trim().split(/\s+/);
    return { state: state.charAt(0), startTime: start.join(" ") };
  } catch {
    return nobody; // ps ends with 1 when there is no such process
  }
}
