import { mkdir } from "node:fs/promises";
import * as os from "node:os";
import { join } from "node:path";
import { MoxiError } from "../base/errors.ts";
import { cacheFolder } from "../base/paths.ts";
import type { Host } from "../base/host.ts";
import { withInstallLock } from "./install-lock.ts";
import { installLayer } from "./install.ts";
import { findPython, newestPython, oldestPython } from "./interpreter.ts";
import { layerFolder, openLayer } from "./layer.ts";
import type { Layer } from "./layer.ts";
import { readLocks } from "./locks.ts";
import type { Locks } from "./locks.ts";
import { ownLayer } from "./own-layer.ts";
import { hasGpu, mayHaveGpu } from "./torch.ts";
import type { TorchBackend } from "./torch.ts";
import type { Surroundings } from "./uv.ts";
import { installerEnvironment } from "./uv-environment.ts";

export interface EnsurePythonOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly home: string;
  readonly host: Host;
  /** `trainer/locks/local.txt`, absolute; torch.txt and uv.txt stand beside it. */
  readonly lockFile: string;
  readonly platform?: NodeJS.Platform;
  readonly arch?: string;
  readonly signal?: AbortSignal | undefined;
  /** Waits while another process installs. */
  readonly sleep?: (milliseconds: number, signal?: AbortSignal) => Promise<void>;
}

/** The Python that trains, with every locked package. */
export interface PythonLayer extends Layer {
  /** Made by this call, not found. */
  readonly created: boolean;
  /** SHA-256 of the locks that it was made from. */
  readonly lockHash: string;
}

/**
 * Gives the Python environment that trains: found in the user's cache without starting a process,
 * or installed there from the hashed locks (up to 3 GB to download), whole or not at all.
 *
 * `MOXI_PYTHON` names the Python to build on, `MOXI_PYTHON_LAYER` an environment to take as it is.
 *
 * Errors: `E_PYTHON_MISSING`, `E_PYTHON_VENV`, `E_PYTHON_INSTALL`, `E_NETWORK`, `E_DISK_FULL`,
 * `E_INTERRUPTED`, `E_TARGET_UNAVAILABLE` on Windows; each names what mends it.
 */
export async function ensurePython(options: EnsurePythonOptions): Promise<PythonLayer> {
  const locks = await readLocks(options.lockFile);
  const lockHash = locks.hash;
  const own = options.env["MOXI_PYTHON_LAYER"];
  if (own) return { ...(await ownLayer(own, locks, options)), created: false, lockHash };

  const { host, signal, sleep = pause, platform = os.platform(), arch = os.arch() } = options;
  if (platform === "win32") {
    throw new MoxiError("E_TARGET_UNAVAILABLE", "training on this machine needs Linux or macOS", {
      hint: "on Windows, run Moxi inside WSL",
    });
  }
  const cacheHome = cacheFolder(options);
  const cache = join(cacheHome, "moxi");
  const around: Surroundings = {
    host,
    env: await installerEnvironment({ ...options, platform }),
    platform,
    arch,
    cache,
    uvCache: options.env["UV_CACHE_DIR"] || join(cacheHome, "uv"),
    torchBackend: options.env["UV_TORCH_BACKEND"] || undefined,
    signal,
  };
  const found = await findLayer(locks, around);
  if (found) return { ...found, created: false, lockHash };

  await mkdir(join(cache, "python"), { recursive: true });
  const onWait = (owner: number) => {
    const text = `waiting: another process (${owner}) is installing the Python packages`;
    host.notify({ type: "task", id: "python", state: "progress", text });
  };
  return withInstallLock(join(cache, "python"), { sleep, signal, onWait }, async () => {
    const theirs = await findLayer(locks, around);
    if (theirs) return { ...theirs, created: false, lockHash };
    return { ...(await installLayer(locks, around)), created: true, lockHash };
  });
}

/** A layer made from these locks. Only a GPU that has come or gone since needs a process to be sure. */
async function findLayer(locks: Locks, around: Surroundings): Promise<Layer | undefined> {
  const minors = await usableMinors(around);
  const open = async (backends: readonly TorchBackend[]) => {
    for (const backend of backends) {
      for (const minor of minors) {
        const layer = await openLayer(layerFolder(locks, backend, minor, around), around);
        if (layer) return layer;
      }
    }
    return undefined;
  };
  const chosen = around.torchBackend;
  if (chosen) return open([chosen]);
  if (!(await mayHaveGpu(around))) return open(["cpu", "default"]);
  return (await open(["auto", "default"])) ?? ((await hasGpu(around)) ? undefined : open(["cpu"]));
}

async function usableMinors(around: Surroundings): Promise<readonly number[]> {
  if (around.env["MOXI_PYTHON"]) {
    return [(await findPython({ ...around, mustMakeVenvs: false })).minor];
  }
  const count = newestPython - oldestPython + 1;
  return Array.from({ length: count }, (_, index) => newestPython - index);
}

function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
