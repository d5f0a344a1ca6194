import { readdir, stat, statfs } from "node:fs/promises";
import { dirname, join } from "node:path";
import { formatBytes } from "../base/format.ts";
import { diskFullError } from "./install-error.ts";

export interface Disks {
  /** Where layers lie; exists. */
  readonly layers: string;
  /** uv's own cache; may not exist yet. */
  readonly uvCache: string;
}

/**
 * The free bytes for layers, or `E_DISK_FULL` if the packages cannot fit. uv unpacks into its own
 * cache and links from there, so they take their space once, or twice where the two lie on
 * different disks. A cache that holds packages already may hold these: then only trying tells.
 *
 * @param size what they take in words, for the message
 */
export async function requireSpace(disks: Disks, bytes: number, size: string): Promise<number> {
  const { layers, uvCache } = disks;
  const cache = await nearestFolder(uvCache);
  const oneDisk = (await stat(cache)).dev === (await stat(layers)).dev;
  const mayHoldThem = (await readdir(join(uvCache, "archive-v0")).catch(() => [])).length > 0;
  const need = async (folder: string) => {
    const free = await freeBytes(folder);
    if (free < bytes) throw diskFullError(folder, `${size}, and ${formatBytes(free)} are free`);
  };
  if (!mayHoldThem) await need(cache);
  if (!oneDisk) await need(layers);
  return freeBytes(layers);
}

async function freeBytes(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}

async function nearestFolder(path: string): Promise<string> {
  const there = await stat(path).then(
    (stats) => stats.isDirectory(),
    () => false,
  );
  return there || path === dirname(path) ? path : nearestFolder(dirname(path));
}
