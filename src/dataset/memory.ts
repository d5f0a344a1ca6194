import { readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { writeFileAtomic } from "../base/files.ts";
import { hashJson } from "../base/hash.ts";
import { isRecord } from "../base/json.ts";
import { isSettled, stampOf } from "../base/stamp.ts";
import type { PreparedDataset, PrepareOptions } from "./prepare.ts";
import { findFiles } from "./read/files.ts";

/** What a dataset is prepared from, and by what. */
export interface Circumstances extends Omit<PrepareOptions, "host" | "inspect"> {
  /** Tells this very program from any other, which might judge the same rows otherwise. */
  readonly program: string;
  /** Whatever else the result depends on. */
  readonly besides: unknown;
}

/** A dataset that was prepared before, and what its maker wanted to be kept with it. */
export interface Recalled {
  readonly dataset: PreparedDataset;
  readonly more: unknown;
}

interface Entry extends Recalled {
  readonly key: string;
  /** Of every file that was read or written. */
  readonly stamps: Stamps;
  /** Of all the above: an entry that somebody has edited is none. */
  readonly hash: string;
}

/** By path: size, times and inode. */
type Stamps = Readonly<Record<string, string>>;

const memoryName = "prepared.json";
const mostKept = 20;

/**
 * The dataset as it was prepared before, where nothing that it was made from has changed since: the
 * settings, the program, and every file by size, times and inode, the canonical rows among them.
 * Undefined where that is not certain.
 */
export async function recallDataset(circumstances: Circumstances): Promise<Recalled | undefined> {
  const key = keyOf(circumstances);
  const entry = (await readMemory(circumstances)).find((each) => each.key === key);
  if (entry === undefined) return undefined;
  const stamps = { ...(await sources(circumstances)), ...(await stampsOf(made(entry.dataset))) };
  return hashJson(stamps) === hashJson(entry.stamps) ? entry : undefined;
}

/** Looks at the files that a dataset will be prepared from; the result remembers what came of them. */
export async function watchDataset(
  circumstances: Circumstances,
): Promise<(recalled: Recalled, now: Date) => Promise<void>> {
  const before = await sources(circumstances).catch(() => ({})); // whoever reads them tells why
  return async ({ dataset, more }, now) => {
    // Changed while they were read, or so lately that they may change unseen: they are read again.
    const after = await sources(circumstances, now);
    if (hashJson(after) !== hashJson(before)) return;
    const key = keyOf(circumstances);
    const stamps = { ...after, ...(await stampsOf(made(dataset))) };
    const others = (await readMemory(circumstances)).filter((each) => each.key !== key);
    const entry = { key, stamps, dataset, more };
    const kept = [{ ...entry, hash: entryHash(entry) }, ...others].slice(0, mostKept);
    await writeFileAtomic(join(circumstances.outFolder, memoryName), `${JSON.stringify(kept)}\n`);
  };
}

function keyOf(circumstances: Circumstances): string {
  const { outFolder: _, ...given } = circumstances;
  return hashJson(JSON.parse(JSON.stringify(given)));
}

function entryHash({ key, stamps, dataset, more }: Omit<Entry, "hash">): string {
  return hashJson(JSON.parse(JSON.stringify([key, stamps, dataset, more])));
}

/** Of every file that the dataset is read from; and what is passed over, which its warnings name. */
async function sources({ path, cwd }: Circumstances, now?: Date): Promise<Stamps> {
  const { files, skipped } = await findFiles(path, cwd);
  const stamps = await stampsOf(
    files.map((file) => file.path),
    now,
  );
  return { ...stamps, "": hashJson(skipped) };
}

function made({ trainFile, evalFile }: PreparedDataset): string[] {
  const files = [join(dirname(trainFile), "check.json"), trainFile];
  return evalFile === null ? files : [...files, evalFile];
}

/** @param now where given, a file that was changed lately has no stamp that can be relied on */
async function stampsOf(paths: readonly string[], now?: Date): Promise<Stamps> {
  const stamps: Record<string, string> = {};
  for (const path of paths) {
    const info = await stat(path, { bigint: true }).catch(() => undefined);
    if (info === undefined) continue;
    const { size, changed } = stampOf(info);
    stamps[path] = now === undefined || isSettled(info, now) ? `${size} ${changed}` : "unsettled";
  }
  return stamps;
}

function isEntry(value: unknown): value is Entry {
  return isRecord(value) && value["hash"] === entryHash(value as unknown as Entry);
}

async function readMemory({ outFolder }: Circumstances): Promise<readonly Entry[]> {
  try {
    const value: unknown = JSON.parse(await readFile(join(outFolder, memoryName), "utf8"));
    return Array.isArray(value) ? value.filter(isEntry) : [];
  } catch {
    return []; // missing or damaged: it is only a memory
  }
}
