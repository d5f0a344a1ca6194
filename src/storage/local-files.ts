import { readdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { MoxiError, systemCode } from "../base/errors.ts";
import { printable } from "../base/format.ts";
import { isHidden } from "./hidden.ts";
import { safePath } from "./names.ts";

export interface LocalFiles {
  /** A folder's files, or the one file that was named. */
  readonly kind: "folder" | "file";
  readonly files: readonly {
    readonly path: string;
    /** Below the folder, with slashes. */
    readonly name: string;
  }[];
  /** Links, devices, pipes: not followed, not sent. */
  readonly leftOut: number;
}

/**
 * The files at a path, in the order of their names. Names that could not come back are refused.
 *
 * @throws E_USAGE where nothing is, or what is no file; E_FILE_NAME
 */
export async function localFiles(path: string): Promise<LocalFiles> {
  const shown = printable(path).replace(/[\n\t]/g, " ");
  const info = await stat(path).catch((error: unknown) => {
    if (systemCode(error) !== "ENOENT" && systemCode(error) !== "ENOTDIR") throw error;
    throw new MoxiError("E_USAGE", `there is no file or folder ${shown}`, {
      hint: "look for a mistyped name",
      place: { file: path },
    });
  });
  if (info.isFile()) {
    return { kind: "file", files: [{ path, name: checked(basename(path)) }], leftOut: 0 };
  }
  if (!info.isDirectory()) {
    throw new MoxiError("E_USAGE", `${shown} is neither a file nor a folder`, {
      hint: "name a file or a folder",
      place: { file: path },
    });
  }
  const files: { path: string; name: string }[] = [];
  let leftOut = 0;
  const walk = async (folder: string, prefix: string): Promise<void> => {
    const entries = await readdir(folder, { withFileTypes: true });
    entries.sort((a, b) => (a.name < b.name ? -1 : 1));
    for (const entry of entries) {
      const name = `${prefix}${entry.name}`;
      const place = join(folder, entry.name);
      if (entry.isDirectory()) await walk(place, `${name}/`);
      else if (!entry.isFile()) leftOut += 1;
      else if (!isHidden(entry.name)) files.push({ path: place, name: checked(name) });
    }
  };
  await walk(path, "");
  return { kind: "folder", files, leftOut };
}

function checked(name: string): string {
  safePath("", name, "file");
  return name;
}
