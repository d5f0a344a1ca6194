import { execute } from "./execute.ts";
import { findExecutables } from "./interpreter.ts";
import type { Surroundings } from "./uv.ts";

/**
 * Which build of torch: one that uv finds at torch's own index (`cpu`, `auto` for this machine's
 * NVIDIA driver, or the user's UV_TORCH_BACKEND), or `default`, the one on the user's package index.
 */
export type TorchBackend = string;

export interface TorchBuild {
  readonly download: string;
  /** What the whole layer takes on the disk, in bytes. */
  readonly bytes: number;
}

/** Bytes that a layer takes at the least. */
export const smallestLayer = 2e9;

/** What comes with a build of torch, so that nobody is surprised by gigabytes. */
export function torchBuild(backend: TorchBackend, platform: NodeJS.Platform): TorchBuild {
  if (platform === "darwin") return { download: "about 250 MB to download", bytes: smallestLayer };
  if (backend === "cpu")
    return { download: "for CPUs, about 400 MB to download", bytes: smallestLayer };
  return { download: "with CUDA libraries, about 3 GB to download", bytes: 7e9 };
}

/** Whether there may be an NVIDIA GPU: asks nobody, so it is cheap. */
export async function mayHaveGpu({ env }: Surroundings): Promise<boolean> {
  return (await findExecutables("nvidia-smi", env)).length > 0;
}

/** Whether the NVIDIA driver answers and names a GPU. */
export async function hasGpu(around: Surroundings): Promise<boolean> {
  const { ok, stdout } = await execute("nvidia-smi", ["-L"], { ...around, cwd: "/", timeout: 20 });
  return ok && stdout.includes("GPU ");
}

/**
 * Whether torch's own index has this version for this backend and answers within three seconds.
 * uv knows where that index is, and asking it costs two small files.
 */
export async function indexAnswers(
  uv: string,
  python: string,
  torch: string,
  backend: TorchBackend,
  around: Surroundings,
): Promise<boolean> {
  const { ok } = await execute(
    uv,
    ["pip", "compile", "--python", python, "--torch-backend", backend].concat([
      "--no-deps",
      "--only-binary",
      ":all:",
      "-",
    ]),
    {
      ...around,
      env: { ...around.env, UV_HTTP_TIMEOUT: "3", UV_HTTP_RETRIES: "0" },
      cwd: around.cache,
      input: `torch==${torch}\n`,
      timeout: 6,
    },
  );
  return ok;
}
