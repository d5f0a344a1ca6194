import { mkdir, mkdtemp, open, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { sha256OfFile } from "../base/file-hash.ts";
import { MoxiError } from "../base/errors.ts";
import { formatBytes } from "../base/format.ts";
import type { Host } from "../base/host.ts";
import { withInstallLock } from "../python/install-lock.ts";
import { installerEnvironment } from "../python/uv-environment.ts";
import { pipDownload } from "./download-with-pip.ts";
import type { ImageLock, LockedWheel } from "./image-lock.ts";
import { fetchFromIndex } from "./fetch-from-index.ts";
import { namedIndexes } from "./package-index.ts";

/** A locked wheel as it lies in the user's cache, its hash checked. */
export interface FetchedWheel extends LockedWheel {
  /** Absolute. */
  readonly path: string;
}

export interface FetchWheelsOptions {
  readonly lock: ImageLock;
  /** Moxi's folder in the user's cache. */
  readonly cache: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly home: string;
  readonly platform: NodeJS.Platform;
  readonly host: Host;
  readonly fetch: typeof fetch;
  readonly sleep: (milliseconds: number, signal?: AbortSignal) => Promise<void>;
  readonly signal?: AbortSignal | undefined;
  /** The package index that the config names; wins over variables and files. */
  readonly index?: string | undefined;
}

/**
 * Gives every wheel of an image's lock, for the image's system and not this one's. What the cache
 * lacks is fetched from the user's own index: by pip where a Python has it, which knows the user's
 * passwords and certificates, else by ourselves from the index that is named.
 *
 * @throws E_WHEEL_INDEX where there is neither pip nor a named index, E_WHEEL where an index lacks a
 *   file or serves another, E_NETWORK, E_PYTHON_INSTALL, E_DISK_FULL, E_INTERRUPTED
 */
export async function fetchWheels(options: FetchWheelsOptions): Promise<FetchedWheel[]> {
  const { lock, cache, host, signal, sleep } = options;
  const folder = join(cache, "wheels");
  const wheels = nameWheels(lock, cache);
  if ((await lacking(wheels)).length === 0) return wheels;
  await mkdir(folder, { recursive: true });
  const onWait = (owner: number) => {
    const text = `waiting: another process (${owner}) is fetching wheels`;
    host.notify({ type: "task", id: "wheels", state: "progress", text });
  };
  await withInstallLock(folder, { sleep, signal, onWait }, async () => {
    const missing = await lacking(wheels);
    if (missing.length === 0) return;
    const size = formatBytes(missing.reduce((sum, wheel) => sum + wheel.size, 0));
    const text = `fetching ${missing.length} Python packages for the job, ${size}`;
    host.notify({ type: "task", id: "wheels", state: "started", text });
    await fetchMissing(missing, folder, options);
    const done = `${lock.wheels.length} Python packages for the job`;
    host.notify({ type: "task", id: "wheels", state: "done", text: done });
  });
  return wheels;
}

/** The wheels of a lock and where they lie in the cache, or will. */
export function nameWheels(lock: ImageLock, cache: string): FetchedWheel[] {
  const folder = join(cache, "wheels");
  return lock.wheels.map((wheel) => ({ ...wheel, path: cachedPath(folder, wheel) }));
}

function cachedPath(folder: string, { sha256, file }: LockedWheel): string {
  return join(folder, sha256.slice(0, 16), file);
}

/** A file gets its name only once its hash is checked; a length that differs was cut off since. */
async function lacking(wheels: readonly FetchedWheel[]): Promise<FetchedWheel[]> {
  const sizes = await Promise.all(
    wheels.map(({ path }) =>
      stat(path)
        .then(({ size }) => size)
        .catch(() => undefined),
    ),
  );
  return wheels.filter(({ size }, index) => sizes[index] !== size);
}

async function fetchMissing(
  missing: readonly FetchedWheel[],
  folder: string,
  options: FetchWheelsOptions,
): Promise<void> {
  const { index } = options;
  // Stronger for pip than its own files, as the config is for us.
  const named = index === undefined ? {} : { PIP_INDEX_URL: index };
  const env = { ...(await installerEnvironment(options)), ...named };
  const draft = await mkdtemp(join(folder, ".new-"));
  try {
    const around = { ...options, env };
    const byPip = await pipDownload(missing, draft, around);
    if (byPip) {
      for (const wheel of missing) await keep(join(draft, wheel.file), wheel);
      return;
    }
    const indexes = await namedIndexes(around);
    if (indexes.length === 0) throw noIndex();
    await fetchFromIndex(missing, indexes, { ...around, folder, keep });
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

/** Puts a fetched file under its name in the cache, if it is the locked one to the last byte. */
async function keep(file: string, wheel: FetchedWheel): Promise<void> {
  const found = await sha256OfFile(file);
  if (found !== wheel.sha256) {
    await rm(file, { force: true });
    throw new MoxiError(
      "E_WHEEL",
      `the package index serves another ${wheel.file} than the one that Moxi was tested with`,
      {
        hint: "check which index is set in UV_DEFAULT_INDEX and in pip's configuration; a proxy may have damaged the file: run the command again",
        details: [`expected sha256 ${wheel.sha256}`, `received sha256 ${found}`],
      },
    );
  }
  const written = await open(file, "r");
  try {
    await written.sync();
  } finally {
    await written.close();
  }
  await mkdir(dirname(wheel.path), { recursive: true });
  await rename(file, wheel.path);
}

function noIndex(): MoxiError {
  return new MoxiError(
    "E_WHEEL_INDEX",
    "the job's Python packages have to be fetched, and there is neither a Python with pip here nor a package index that is named",
    {
      hint: "name your index, for example UV_DEFAULT_INDEX=https://index.example/simple in .env or packageIndex in the config, or install Python 3.11 or newer with pip",
    },
  );
}
