import { readFile, realpath, rm } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "../base/files.ts";
import { hashJson } from "../base/hash.ts";
import { isRecord } from "../base/json.ts";
import { execute } from "./execute.ts";
import type { Locks } from "./locks.ts";
import type { TorchBackend } from "./torch.ts";
import type { Surroundings } from "./uv.ts";

/** A folder with Python and the locked packages, complete and checked. */
export interface Layer {
  readonly python: string;
  readonly folder: string;
  /** The build of torch: "default", "cpu", "cu130" ... */
  readonly torch: string;
}

/** Written last: a folder without it is no layer. */
const stampName = "moxi-layer.json";

/** Everything that decides what is in a layer decides its folder's name. */
export function layerFolder(
  locks: Locks,
  backend: TorchBackend,
  minor: number,
  { cache, platform, arch }: Surroundings,
): string {
  const key = hashJson({ lock: locks.hash, backend, minor, platform, arch });
  return join(cache, "python", key.slice(0, 12));
}

/** The layer in this folder, if it is whole and its Python still runs. */
export async function openLayer(folder: string, around: Surroundings): Promise<Layer | undefined> {
  const python = join(folder, "bin/python");
  try {
    const stamp: unknown = JSON.parse(await readFile(join(folder, stampName), "utf8"));
    if (!isRecord(stamp) || typeof stamp["torch"] !== "string") return undefined;
    // The system's Python may have been upgraded or removed under the layer since.
    const moved = (await realpath(python)) !== stamp["interpreter"];
    if (moved && (await torchVersion(python, around)) === undefined) return undefined;
    return { python, folder, torch: stamp["torch"] };
  } catch {
    return undefined;
  }
}

/** Declares a folder to be a layer, once its Python and its torch have been seen there. */
export async function stampLayer(
  folder: string,
  locks: Locks,
  around: Surroundings,
): Promise<Layer | undefined> {
  const python = join(folder, "bin/python");
  const version = await torchVersion(python, around);
  if (version === undefined) return undefined;
  const [release, build] = version.split("+");
  if (release !== locks.torch) return undefined;
  const torch = build ?? "default";
  const stamp = { lock: locks.hash, torch, interpreter: await realpath(python) };
  await writeFileAtomic(join(folder, stampName), `${JSON.stringify(stamp, null, 2)}\n`);
  return { python, folder, torch };
}

/** E.g. "2.15.0+cpu"; undefined if this Python does not start or has no torch. */
async function torchVersion(python: string, around: Surroundings): Promise<string | undefined> {
  const question = "import importlib.metadata as m; print(m.version('torch'))";
  const { ok, stdout } = await execute(python, ["-I", "-c", question], {
    ...around,
    cwd: "/",
    timeout: 60,
  });
  return ok ? stdout.trim() : undefined;
}

/** Removes a folder of ours; a file that a dying process still writes there is left for the next time. */
export async function clear(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true, maxRetries: 2 }).catch(() => {});
}
