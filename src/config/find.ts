import { existsSync, lstatSync } from "node:fs";
import { dirname, join } from "node:path";
import { MoxiError } from "../base/errors.ts";

const fileNames = ["ts", "mts", "js", "mjs", "json"].map((ending) => `moxi.config.${ending}`);

export interface Project {
  readonly folder: string;
  readonly file: string | null;
}

/**
 * The project's folder: the nearest one, from `cwd` up to the root of its git repository, that has
 * a config file; else `cwd`. Outside a repository only `cwd` is looked at, because a config is a
 * program: one that lies in /tmp or in somebody's home must not run by accident.
 */
export function findProject(cwd: string): Project {
  for (const folder of foldersOf(cwd)) {
    const [file, other] = fileNames.filter((name) => isThere(join(folder, name)));
    if (other !== undefined) {
      throw new MoxiError("E_CONFIG_AMBIGUOUS", `${file} and ${other} are both in ${folder}`, {
        hint: "keep one of them",
        place: { file: join(folder, other) },
      });
    }
    if (file !== undefined) return { folder, file: join(folder, file) };
  }
  return { folder: cwd, file: null };
}

/** A link that leads nowhere is there: training as if there were no config would be worse. */
function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

function foldersOf(cwd: string): string[] {
  const folders: string[] = [];
  for (let folder = cwd; ; folder = dirname(folder)) {
    folders.push(folder);
    if (existsSync(join(folder, ".git"))) return folders;
    if (dirname(folder) === folder) return [cwd];
  }
}
