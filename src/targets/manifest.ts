import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { sha256OfFile } from "../base/file-hash.ts";
import { isRecord } from "../base/json.ts";

/** Lists a checkpoint's files, and is written last: a folder without it was torn. */
export const manifestName = "manifest.json";

/** The names of checkpoints among those of other things, the newest first: step 40 lies in "step-000040". */
export function newestFirst(names: Iterable<string>): string[] {
  const step = (name: string) => Number(name.slice("step-".length));
  return [...names].filter((name) => /^step-\d{6,}$/.test(name)).sort((a, b) => step(b) - step(a));
}

/** Each file of a checkpoint by its name, with its size and SHA-256. */
type Manifest = ReadonlyMap<string, { readonly bytes: number; readonly sha256: string }>;

/** Reads a manifest as the training program writes it; undefined for what is none. */
export function parseManifest(text: string): Manifest | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isRecord(value) || !isRecord(value["files"])) return undefined;
  const files = new Map<string, { bytes: number; sha256: string }>();
  for (const [name, file] of Object.entries(value["files"])) {
    if (!isRecord(file) || name.split("/").includes("..")) return undefined;
    const { bytes, sha256 } = file;
    if (!Number.isSafeInteger(bytes) || typeof sha256 !== "string") return undefined;
    files.set(name, { bytes: bytes as number, sha256 });
  }
  return files.size === 0 ? undefined : files;
}

/** Whether every file of a checkpoint is as it was written, by its hash. */
export async function isWhole(folder: string): Promise<boolean> {
  const text = await readFile(join(folder, manifestName), "utf8").catch(() => "");
  const manifest = parseManifest(text);
  if (manifest === undefined) return false;
  for (const [name, { bytes, sha256 }] of manifest) {
    const path = join(folder, name);
    const size = await stat(path).then(
      (found) => found.size,
      () => -1,
    );
    if (size !== bytes || (await sha256OfFile(path)) !== sha256) return false;
  }
  return true;
}
