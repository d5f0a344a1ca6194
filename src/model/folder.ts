import { readFile, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { MoxiError } from "../base/errors.ts";
import { sha256OfFile } from "../base/file-hash.ts";
import { hashJson } from "../base/hash.ts";
import { isRecord } from "../base/json.ts";
import { checkArchitecture, checkParts } from "./parts.ts";

/** Checks that a folder holds a whole base model that Moxi can train. `id` is for messages. */
export async function checkFolder(folder: string, id: string): Promise<void> {
  const names = new Set(await readdir(folder));
  checkParts(id, names);
  checkArchitecture(id, await readJson(join(folder, "config.json")));
  await checkShards(folder, id, names);
}

/** An index names the files that the weights are cut into; each must be there. */
async function checkShards(folder: string, id: string, names: ReadonlySet<string>): Promise<void> {
  for (const index of [...names].filter((name) => name.endsWith(".index.json"))) {
    const content = await readJson(join(folder, index));
    const map = isRecord(content) ? content["weight_map"] : undefined;
    const shards = isRecord(map) ? [...new Set(Object.values(map))].map(String) : [];
    const missing = shards.find((shard) => !names.has(shard));
    if (missing === undefined) continue;
    throw new MoxiError("E_MODEL_UNSUPPORTED", `${id} lacks ${missing}, which ${index} names`, {
      hint: "download or copy the model again",
      place: { file: join(folder, index) },
    });
  }
}

/** A file of a model's folder. */
export interface ModelFile {
  readonly name: string;
  readonly path: string;
  readonly size: number;
}

const loadable = /^[^./][^/]*\.(?:json|safetensors|bin|model|txt|jinja|tiktoken)$/;

/** Of a model's files those that loading it reads: the same weights in another format are left out. */
export function neededFiles(names: readonly string[]): string[] {
  const found = names.filter((name) => loadable.test(name) && !name.startsWith("consolidated"));
  const safe = found.some((name) => name.endsWith(".safetensors"));
  return found.filter((name) => !safe || !/\.bin(?:\.index\.json)?$/.test(name)).sort();
}

/** Every file that loading a model can read, sorted by name. */
export async function modelFiles(folder: string): Promise<ModelFile[]> {
  const files = [];
  for (const name of (await readdir(folder)).sort()) {
    if (!loadable.test(name)) continue;
    const path = join(folder, name);
    // Follows links: the hub's cache consists of them.
    const found = await stat(path);
    if (found.isFile()) files.push({ name, path, size: found.size });
  }
  return files;
}

/** SHA-256 over name, size and hash of every file that loading a model can read. */
export async function fingerprintFolder(folder: string): Promise<string> {
  const files: [string, number, string][] = [];
  for (const { name, path, size } of await modelFiles(folder)) {
    files.push([name, size, await sha256OfFile(path)]);
  }
  return hashJson(files);
}

async function readJson(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, "utf8"));
  } catch (error) {
    throw new MoxiError("E_MODEL_UNSUPPORTED", `${path} cannot be read as JSON`, {
      hint: "download or copy the model again",
      place: { file: path },
      cause: error,
    });
  }
}
