import { mkdir, readFile, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { sha256OfFile } from "../base/file-hash.ts";
import { writeFileAtomic } from "../base/files.ts";
import { isRecord } from "../base/json.ts";
import { isSettled, stampOf } from "../base/stamp.ts";
import type { Stamp } from "../base/stamp.ts";
import { changedError } from "./mover.ts";

export interface Hashed {
  readonly sha256: string;
  readonly stamp: Stamp;
}

type Cache = Record<string, readonly [changed: string, size: number, sha256: string]>;

const atOnce = 4;
/** The whole cache is read each time, so it must stay small: 0.3 MB. */
const mostKept = 2000;

/**
 * The SHA-256 of files, in their order. A file whose size, times and inode are those of the last
 * time is not read again. The cache may be deleted at any time; it keeps what was hashed last.
 *
 * @throws E_FILE_CHANGED for a file that changes while it is read
 */
export async function hashFiles(
  paths: readonly string[],
  cacheFile: string,
  now: Date,
): Promise<Hashed[]> {
  const cache = await readCache(cacheFile);
  const results: Hashed[] = [];
  const news: Record<string, Cache[string]> = {};
  const one = async (path: string): Promise<Hashed> => {
    const info = await stat(path, { bigint: true });
    const stamp = stampOf(info);
    const known = cache[path];
    if (known?.[0] === stamp.changed && known[1] === stamp.size) return { sha256: known[2], stamp };
    const sha256 = await sha256OfFile(path);
    if (stampOf(await stat(path, { bigint: true })).changed !== stamp.changed) {
      throw changedError(path);
    }
    if (isSettled(info, now)) news[path] = [stamp.changed, stamp.size, sha256];
    return { sha256, stamp };
  };
  let next = 0;
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      while (next < paths.length) {
        const index = next;
        next += 1;
        results[index] = await one(paths[index]!);
      }
    }),
  );
  if (Object.keys(news).length > 0) {
    await mkdir(dirname(cacheFile), { recursive: true });
    // Others have written too: of one run code and rows are hashed at once.
    const known = Object.entries(await readCache(cacheFile)).filter(([path]) => !(path in news));
    const most = Math.max(mostKept, 2 * paths.length);
    const kept = [...known, ...Object.entries(news)].slice(-most);
    await writeFileAtomic(cacheFile, JSON.stringify(Object.fromEntries(kept)));
  }
  return results;
}

async function readCache(file: string): Promise<Cache> {
  try {
    const value: unknown = JSON.parse(await readFile(file, "utf8"));
    return isRecord(value) ? (value as Cache) : {};
  } catch {
    // Missing or damaged: it is only a cache.
    return {};
  }
}
