import { createHash } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { mkdir, open, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { isMoxiError, MoxiError, systemCode } from "../base/errors.ts";
import { writeFileAtomic } from "../base/files.ts";
import { formatBytes } from "../base/format.ts";
import type { Host } from "../base/host.ts";
import { withLock } from "../store/lock.ts";
import { findCached } from "./cache.ts";
import { neededFiles } from "./folder.ts";
import { hubFetch } from "./hub.ts";
import type { ModelOptions } from "./resolve.ts";

export interface DownloadOptions extends ModelOptions {
  /** The commit. */
  readonly revision: string;
  /** Moxi's folder in the user's cache. */
  readonly cache: string;
  readonly host: Host;
  readonly clock: { sleep(milliseconds: number): Promise<void> };
  /** One request of a large file: a break costs no more than this. Default: 32 MiB. */
  readonly chunkBytes?: number;
}

/**
 * The files of a hub model at one commit, in a folder of this machine: from the hub's own cache
 * where they are, else fetched into Moxi's. What was broken off goes on where it stopped; every
 * file is held against the hash that the hub tells.
 *
 * @throws MoxiError as resolveModel does
 */
export async function downloadModel(options: DownloadOptions): Promise<string> {
  const { id, revision, cache, clock } = options;
  const cached = await findCached(options);
  if (cached !== undefined) return cached.folder;
  const folder = join(cache, "models", id.replaceAll("/", "--"), revision);
  const whole = join(folder, ".whole");
  if (existsSync(whole)) return folder;
  await mkdir(folder, { recursive: true });
  await withLock(join(folder, ".lock"), clock, async () => {
    if (existsSync(whole)) return;
    await fetchAll(folder, options).catch((error: unknown) => {
      if (isMoxiError(error) || systemCode(error) !== undefined) throw error;
      throw new MoxiError("E_NETWORK", `${options.hubUrl} does not answer as a model hub does`, {
        hint: "check HF_ENDPOINT, then run the same command again: it goes on where it stopped",
        cause: error,
      });
    });
    await writeFileAtomic(whole, "");
  });
  return folder;
}

async function fetchAll(folder: string, options: DownloadOptions): Promise<void> {
  const { id, revision, hubUrl, host, chunkBytes = 32 << 20 } = options;
  const { downloadFile, listFiles } = await import("@huggingface/hub");
  const shared = { repo: id, revision, hubUrl, fetch: tokenForHubOnly(options) };
  const listed = [];
  for await (const entry of listFiles(shared)) if (entry.type === "file") listed.push(entry);
  const needed = new Set(neededFiles(listed.map(({ path }) => path)));
  const files = listed.filter(({ path }) => needed.has(path));
  const total = files.reduce((sum, { size }) => sum + size, 0);
  let fetched = 0;
  const tell = (state: "started" | "progress" | "done", text: string) =>
    host.notify({ type: "task", id: "model", state, text, fraction: fetched / Math.max(1, total) });
  tell("started", `fetching ${id}, ${formatBytes(total)}`);
  for (const { path, size, oid, lfs } of files) {
    const place = join(folder, path);
    if (existsSync(place)) {
      fetched += size;
      continue;
    }
    const blob = await downloadFile({ ...shared, path, xet: false });
    // Git's own name for a small file's content, SHA-256 for a large one.
    const hash = createHash(lfs === undefined ? "sha1" : "sha256");
    if (lfs === undefined) hash.update(`blob ${size}\0`);
    const part = `${place}.part`;
    await fetchRest(blob, part, { size, chunkBytes }, (bytes) => {
      hash.update(bytes);
      fetched += bytes.length;
      tell("progress", `fetching ${id}: ${formatBytes(fetched)} of ${formatBytes(total)}`);
    });
    const expected = lfs?.oid ?? oid;
    if (expected !== undefined && hash.digest("hex") !== expected) {
      await rm(part);
      throw new MoxiError(
        "E_NETWORK",
        `${path} of ${id} does not have the hash that the hub tells`,
        {
          hint: "it was changed on the way, by a proxy or bad memory: run the same command again",
        },
      );
    }
    await rename(part, place);
  }
  tell("done", `${id} is in the cache, ${formatBytes(total)}`);
}

/** Appends to a part what it lacks; `take` gets all bytes, those that were there too. */
async function fetchRest(
  blob: Blob | null,
  part: string,
  { size, chunkBytes }: { readonly size: number; readonly chunkBytes: number },
  take: (bytes: Uint8Array) => void,
): Promise<void> {
  const file = await open(part, "a");
  try {
    let { size: have } = await file.stat();
    if (have > size) {
      await file.truncate(0);
      have = 0;
    }
    if (have > 0) for await (const bytes of createReadStream(part)) take(bytes as Buffer);
    while (have < size) {
      const end = Math.min(have + chunkBytes, size);
      const bytes = new Uint8Array((await blob?.slice(have, end).arrayBuffer()) ?? []);
      if (bytes.length !== end - have) throw new TypeError("a file of another length than listed");
      await file.write(bytes);
      take(bytes);
      have = end;
    }
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Large files lie on other servers, whose addresses are signed: the token is not for them. */
function tokenForHubOnly(options: DownloadOptions): typeof fetch {
  const query = { ...options, timeoutMs: 600_000 };
  const [hub, other] = [hubFetch(query), hubFetch({ ...query, token: undefined })];
  const { origin } = new URL(options.hubUrl);
  return (input, init) => {
    const address = input instanceof Request ? input.url : input;
    return new URL(address).origin === origin ? hub(input, init) : other(input, init);
  };
}
