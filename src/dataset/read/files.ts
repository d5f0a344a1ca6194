import { readdir, realpath, stat } from "node:fs/promises";
import { isAbsolute, join, relative, resolve, sep } from "node:path";
import { MoxiError } from "../../base/errors.ts";
import { printableName } from "../../base/format.ts";
import { emptyDataset, statDataset } from "./source.ts";

/** A file of a dataset. */
export interface DatasetFile {
  /** Absolute. */
  readonly path: string;
  /** As people know it; not yet safe to print. */
  readonly name: string;
}

export interface DatasetFiles {
  readonly files: readonly DatasetFile[];
  /** What the folder holds besides, and why it is not read. */
  readonly skipped: readonly {
    readonly name: string;
    readonly why: string;
    readonly link: boolean;
  }[];
}

/** Endings by which a folder's files of rows are told from its other files. */
export const rowsEnding = /\.(?:jsonl?|ndjson|csv|tsv|parquet)(?:\.(?:gz|zst))?$/i;
const maxDepth = 32;

/**
 * The file that a path names, or every file of rows in the folder that it names: sorted, with those
 * of its folders. Hidden files and links that lead out of the folder are left alone.
 *
 * @throws MoxiError E_DATASET_MISSING, E_DATASET_NOT_A_FILE, E_DATASET_EMPTY, E_PERMISSION
 */
export async function findFiles(path: string, cwd: string): Promise<DatasetFiles> {
  const absolute = resolve(cwd, path);
  const name = nameFrom(cwd, path);
  const shown = printableName(name);
  const kind = await statDataset(path, absolute, shown);
  if (kind.isFile()) return { files: [{ path: absolute, name }], skipped: [] };
  if (!kind.isDirectory()) {
    throw new MoxiError("E_DATASET_NOT_A_FILE", `the dataset ${shown} is no regular file`, {
      hint: "name a file of rows, or a folder of them",
      place: { file: shown },
    });
  }
  const walk = new Walk(await realpath(absolute), absolute, name);
  await walk.into(absolute, 0);
  if (walk.files.length === 0) {
    throw emptyDataset(shown, "has no file of rows (.json, .jsonl, .csv, .tsv, .parquet)");
  }
  return walk;
}

/** A path as people know it: from where they stand, unless it lies elsewhere. */
export function nameFrom(cwd: string, path: string): string {
  if (!isAbsolute(path)) return path;
  const inside = relative(cwd, path);
  return inside === "" || inside.startsWith("..") || isAbsolute(inside) ? path : inside;
}

class Walk implements DatasetFiles {
  readonly files: DatasetFile[] = [];
  readonly skipped: { name: string; why: string; link: boolean }[] = [];
  readonly #root: string;
  readonly #from: string;
  readonly #shown: string;
  readonly #seen = new Set<string>();

  constructor(root: string, from: string, shown: string) {
    this.#root = root;
    this.#from = from;
    this.#shown = shown;
  }

  async into(folder: string, depth: number): Promise<void> {
    const real = await realpath(folder);
    if (this.#seen.has(real)) return this.#skip(folder, "a folder that was read before", true);
    this.#seen.add(real);
    if (depth > maxDepth) return this.#skip(folder, "too deep", false);
    const names = await readdir(folder);
    for (const name of names.sort((a, b) => (a < b ? -1 : 1)))
      await this.#look(join(folder, name), depth);
  }

  async #look(path: string, depth: number): Promise<void> {
    const name = path.slice(path.lastIndexOf(sep) + 1);
    if (name.startsWith(".")) return this.#skip(path, "hidden", false);
    const real = await realpath(path).catch(() => undefined);
    if (real === undefined) return this.#skip(path, "a link that leads nowhere", true);
    if (real !== this.#root && !real.startsWith(this.#root + sep)) {
      return this.#skip(path, "a link that leads out of the folder", true);
    }
    const kind = await stat(path);
    if (kind.isDirectory()) return this.into(path, depth + 1);
    if (!kind.isFile()) return this.#skip(path, "no regular file", false);
    if (!rowsEnding.test(name)) return this.#skip(path, "no file of rows", false);
    if (this.#seen.has(real)) return this.#skip(path, "a file that was read before", true);
    this.#seen.add(real);
    this.files.push({ path, name: this.#nameOf(path) });
  }

  #skip(path: string, why: string, link: boolean): void {
    this.skipped.push({ name: this.#nameOf(path), why, link });
  }

  #nameOf(path: string): string {
    return join(this.#shown, relative(this.#from, path));
  }
}
