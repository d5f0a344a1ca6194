import { lstat, readdir, readFile, realpath } from "node:fs/promises";
import { dirname, join, relative, sep } from "node:path";
import ignore from "ignore";
import type { Ignore } from "ignore";
import { systemCode } from "../base/errors.ts";
import { describe, refused, slashes } from "./files.ts";
import type { SourceFile } from "./files.ts";

/** What no run needs and what is nobody's business, whether or not .gitignore names it. */
const always = [".git", ".moxi", "node_modules", "__pycache__", ".venv", ".env", ".env.*"];

/**
 * The files that some paths of a project name. A folder gives what is in it, except what .gitignore
 * files leave out, as git reads them; a file that is named itself is taken in any case.
 *
 * @throws E_BUNDLE for paths that are not there, lie outside, are links or no files
 */
export async function userFiles(folder: string, paths: readonly string[]): Promise<SourceFile[]> {
  const root = await realpath(folder);
  const found = new Map<string, SourceFile>();
  const add = (path: string) => {
    const file = describe(path, join(root, path));
    if ((found.get(file.path)?.source ?? file.source) !== file.source) {
      throw refused(path, "has the same name as another file, on some machines", "rename one");
    }
    found.set(file.path, file);
  };
  for (const name of paths) {
    const path = relative(root, join(root, name));
    if (path === ".." || path.startsWith(`..${sep}`)) {
      throw refused(name, "lies outside the project's folder", "copy it into the project");
    }
    const kind = await kindOf(join(root, path), name);
    if (kind === "file") add(path);
    else {
      let count = 0;
      for await (const file of walk(root, path, await rulesAbove(root, path))) {
        add(file);
        count += 1;
      }
      if (count === 0) {
        throw refused(name, "holds no file to send", "correct the path, or see .gitignore");
      }
    }
  }
  return [...found.values()];
}

interface Rules {
  /** The folder that they stand in, from the root; "" is the root. */
  readonly base: string;
  readonly matcher: Ignore;
}

/** Inner files win over outer ones, and the last line that matches decides, "!" included. */
function isIgnored(path: string, isFolder: boolean, rules: readonly Rules[]): boolean {
  for (const { base, matcher } of rules.toReversed()) {
    const inside = slashes(relative(base, path));
    const { ignored, unignored } = matcher.test(isFolder ? `${inside}/` : inside);
    if (ignored || unignored) return ignored;
  }
  return false;
}

async function* walk(
  root: string,
  folder: string,
  outer: readonly Rules[],
): AsyncGenerator<string> {
  const rules = [...outer, ...(await rulesOf(root, folder))];
  for (const entry of await readdir(join(root, folder), { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (never.ignores(entry.name) || isIgnored(path, entry.isDirectory(), rules)) continue;
    if (entry.isDirectory()) yield* walk(root, path, rules);
    else if ((await kindOf(join(root, path), path)) === "file") yield path;
  }
}

const never = ignore().add(always);

/** The rules that hold in a folder's surroundings, its own not among them. */
async function rulesAbove(root: string, folder: string): Promise<Rules[]> {
  const above: string[] = [];
  for (let path = folder; path !== "" && path !== ".";) {
    path = dirname(path) === "." ? "" : dirname(path);
    above.unshift(path);
  }
  return (await Promise.all(above.map((path) => rulesOf(root, path)))).flat();
}

async function rulesOf(root: string, folder: string): Promise<Rules[]> {
  try {
    const text = await readFile(join(root, folder, ".gitignore"), "utf8");
    return [{ base: folder, matcher: ignore({ ignoreCase: false }).add(text) }];
  } catch (error) {
    if (systemCode(error) === "ENOENT" || systemCode(error) === "EISDIR") return [];
    throw error;
  }
}

async function kindOf(path: string, name: string): Promise<"file" | "folder"> {
  const stat = await lstat(path).catch((error: unknown) => {
    if (systemCode(error) !== "ENOENT" && systemCode(error) !== "ENOTDIR") throw error;
    throw refused(name, "is not there", "correct the path");
  });
  if (stat.isFile()) return "file";
  if (stat.isDirectory()) return "folder";
  const what = stat.isSymbolicLink() ? "a link" : "no ordinary file";
  throw refused(
    name,
    `is ${what}, which cannot be sent`,
    "put a file in its place, or list it in .gitignore",
  );
}
