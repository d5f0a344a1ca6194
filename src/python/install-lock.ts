import { execFile } from "node:child_process";
import { readdir, readFile, readlink, rename, rm, symlink } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { pid } from "node:process";
import { promisify } from "node:util";
import { systemCode } from "../base/errors.ts";
import { interrupted } from "./execute.ts";

export interface LockOptions {
  readonly sleep: (milliseconds: number, signal?: AbortSignal) => Promise<void>;
  readonly signal?: AbortSignal | undefined;
  /** Called once, if another process has to end first. */
  readonly onWait: (owner: number) => void;
}

const free = "free";

/**
 * Runs the work while no other process of this machine does so in the same folder; a process that
 * died gives way at once.
 *
 * The lock is a numbered symbolic link: making one is atomic, and it carries a text, its owner.
 * Whoever takes over from a dead owner makes the next number, and holds the lock only if that is
 * then the highest. The highest is never removed, so one that was made too late, by somebody who
 * had looked at an older state, always finds a higher one and gives up.
 */
export async function withInstallLock<T>(
  folder: string,
  options: LockOptions,
  work: () => Promise<T>,
): Promise<T> {
  // A home folder may be shared by machines, and another machine's processes cannot be asked after.
  const prefix = `.install-${hostname()}.`;
  const path = (end: number | string) => join(folder, `${prefix}${end}`);
  const numbers = async () =>
    (await readdir(folder))
      .filter((name) => name.startsWith(prefix))
      .map((name) => Number(name.slice(prefix.length)))
      .filter((number) => Number.isSafeInteger(number));
  const self = `${pid}:${await startOf(pid)}`;
  let told = false;
  for (;;) {
    if (options.signal?.aborted) throw interrupted();
    const newest = Math.max(0, ...(await numbers()));
    const owner = newest === 0 ? free : await ownerOf(path(newest));
    if (owner !== free && (await isAlive(owner))) {
      if (!told) options.onWait(Number.parseInt(owner, 10));
      told = true;
      await options.sleep(500, options.signal);
      continue;
    }
    const mine = newest + 1;
    try {
      await symlink(self, path(mine));
    } catch (error) {
      if (systemCode(error) === "EEXIST") continue;
      throw error;
    }
    const others = (await numbers()).filter((number) => number !== mine);
    if (others.some((number) => number > mine)) {
      await rm(path(mine), { force: true });
      continue;
    }
    try {
      for (const number of others) await rm(path(number), { force: true });
      return await work();
    } finally {
      await rm(path("released"), { force: true });
      await symlink(free, path("released"));
      await rename(path("released"), path(mine));
    }
  }
}

async function ownerOf(path: string): Promise<string> {
  // Gone: a higher one has been made meanwhile, and whoever makes the next finds it.
  return readlink(path).catch(() => free);
}

async function isAlive(owner: string): Promise<boolean> {
  const [process, start] = owner.split(/:(.*)/s);
  return (await startOf(Number(process))) === start;
}

/** When a process started, in whatever form its system tells: a number that is used again has another. */
async function startOf(process: number): Promise<string | undefined> {
  try {
    const stat = await readFile(`/proc/${process}/stat`, "utf8");
    // The name in parentheses may hold blanks; the state is the first field after it.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" ? undefined : fields[19];
  } catch {
    // No /proc (macOS), or no such process: ps knows both.
  }
  try {
    const { stdout } = await promisify(execFile)("ps", ["-o", "lstart=", "-p", String(process)]);
    return stdout.trim();
  } catch {
    return undefined;
  }
}
