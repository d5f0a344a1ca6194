import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { resolvePath } from "../base/paths.ts";
import { checkFolder } from "./folder.ts";

export interface CacheQuery {
  readonly id: string;
  readonly revision?: string | undefined;
  readonly home: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/**
 * A hub model as huggingface_hub left it on this machine, if that revision is there and complete:
 * `models--<org>--<name>/refs/<revision>` holds the commit, `snapshots/<commit>/` the files.
 */
export async function findCached(
  query: CacheQuery,
): Promise<{ revision: string; folder: string } | undefined> {
  const { id, revision = "main" } = query;
  const repository = join(cacheFolder(query), `models--${id.replaceAll("/", "--")}`);
  try {
    const commit = /^[0-9a-f]{40}$/.test(revision)
      ? revision
      : (await readFile(join(repository, "refs", revision), "utf8")).trim();
    if (!/^[0-9a-f]{40}$/.test(commit)) return undefined;
    const folder = join(repository, "snapshots", commit);
    await checkFolder(folder, id);
    return { revision: commit, folder };
  } catch {
    // Not there, or not whole: then it is not in the cache.
    return undefined;
  }
}

/** Where huggingface_hub keeps models: its own variables, in its own order. */
function cacheFolder({ home, env }: CacheQuery): string {
  const base = env["XDG_CACHE_HOME"] || join(home, ".cache");
  const hub = join(env["HF_HOME"] || join(base, "huggingface"), "hub");
  return resolvePath(env["HF_HUB_CACHE"] || env["HUGGINGFACE_HUB_CACHE"] || hub, home, home);
}
