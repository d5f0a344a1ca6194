import { mkdir, mkdtemp, readFile, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Host } from "../base/host.ts";
import { execute } from "./execute.ts";
import type { Execution } from "./execute.ts";
import { installError } from "./install-error.ts";
import { findExecutables, findPython } from "./interpreter.ts";
import { parseLock } from "./locks.ts";
import { UvProgress } from "./uv-progress.ts";

/** The oldest uv that knows the torch builds of today and the system's certificates. */
export const oldestUv = "0.12.0";

/** What the installers need to know of the outside. */
export interface Surroundings {
  readonly host: Host;
  /** As `installerEnvironment` makes it. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly platform: NodeJS.Platform;
  readonly arch: string;
  /** Moxi's folder in the user's cache. */
  readonly cache: string;
  /** uv's own cache. */
  readonly uvCache: string;
  /** The user's UV_TORCH_BACKEND. */
  readonly torchBackend: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The uv on the PATH, if it is new enough, or our own. */
export async function findUv(around: Surroundings, lockFile: string): Promise<string | undefined> {
  const own = join(await ownFolder(around, lockFile), "bin/uv");
  for (const uv of [...(await findExecutables("uv", around.env)), own]) {
    const { ok, stdout } = await execute(uv, ["--version"], { ...around, cwd: "/", timeout: 20 });
    const version = /^uv (\d+\.\d+\.\d+)/.exec(stdout)?.[1];
    if (ok && version !== undefined && !isOlder(version, oldestUv)) return uv;
  }
  return undefined;
}

function isOlder(version: string, other: string): boolean {
  return version.localeCompare(other, "en", { numeric: true }) < 0;
}

async function ownFolder({ cache, platform, arch }: Surroundings, lockFile: string) {
  const [uv] = parseLock(await readFile(lockFile, "utf8"), lockFile);
  return join(cache, "uv", `${uv?.version}-${platform}-${arch}`);
}

/** What a fetched uv takes on the disk. */
const uvBytes = 100e6;

/** Fetches the locked uv into a virtual environment of its own. Call it under the install lock. */
export async function installUv(around: Surroundings, lockFile: string): Promise<string> {
  const { host } = around;
  const python = await findPython({ ...around, mustMakeVenvs: true });
  host.notify({
    type: "task",
    id: "python",
    state: "progress",
    text: "fetching the installer (uv)",
  });
  const folder = await ownFolder(around, lockFile);
  await mkdir(dirname(folder), { recursive: true });
  const temporary = await mkdtemp(join(dirname(folder), ".new-"));
  try {
    const venv = await execute(python.executable, ["-m", "venv", temporary], {
      ...around,
      cwd: "/",
    });
    const task = "fetch uv, which installs the Python packages";
    const failed = (output: string) =>
      installError({ task, output, folders: [dirname(folder)], bytes: uvBytes });
    if (!venv.ok) throw failed(`${venv.stderr}\n${venv.stdout}`);
    const pip = await execute(
      join(temporary, "bin/python"),
      ["-m", "pip", "install", "--require-hashes", "--only-binary", ":all:"]
        .concat(["--no-input", "--disable-pip-version-check", "--progress-bar", "off"])
        .concat(["--requirement", lockFile]),
      { ...around, cwd: dirname(folder) },
    );
    if (!pip.ok) throw failed(pip.stderr);
    await rm(folder, { recursive: true, force: true });
    await rename(temporary, folder);
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
  return join(folder, "bin/uv");
}

/**
 * Runs uv and passes on how far it is. It runs in the cache folder, so that no project of the
 * user's configures it.
 */
export function runUv(
  uv: string,
  args: readonly string[],
  around: Surroundings,
): Promise<Execution> {
  const progress = new UvProgress();
  return execute(uv, args, {
    ...around,
    cwd: around.cache,
    onLine(line) {
      const state = progress.read(line);
      if (state === undefined) return;
      around.host.notify({ type: "task", id: "python", state: "progress", ...state });
    },
  });
}
