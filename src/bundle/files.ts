import { readFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join, sep } from "node:path";
import { MoxiError } from "../base/errors.ts";
import { printable } from "../base/format.ts";
import { sha256 } from "../base/hash.ts";

/** A file to be sent. */
export interface SourceFile {
  /** Its name in the bundle: relative, with "/", composed Unicode. */
  readonly path: string;
  /** Where it lies: absolute. */
  readonly source: string;
  readonly size: number;
  readonly sha256: string;
}

/**
 * The training program: bootstrap.py and the modules and templates of moxi_train, and so the same from a clone, with
 * its caches and editors' leftovers, as from the package.
 */
export async function codeFiles(trainer: string): Promise<SourceFile[]> {
  const names = await readdir(join(trainer, "moxi_train"), { recursive: true });
  const modules = names.filter((name) => /\.(?:py|jinja|json)$/.test(name)).sort();
  const paths = ["bootstrap.py", ...modules.map((name) => join("moxi_train", name))];
  return paths.map((path) => describe(path, join(trainer, path)));
}

/** A path with "/" on every machine. */
export function slashes(path: string): string {
  return sep === "/" ? path : path.replaceAll(sep, "/");
}

/** A file by its name in the bundle. @throws E_BUNDLE for a name that cannot be sent */
export function describe(name: string, source: string): SourceFile {
  const path = slashes(name).normalize("NFC");
  if (printable(path) !== path || /[\n\t\\]/.test(path)) {
    throw refused(name, "has a name that cannot be sent", "rename it");
  }
  // At once: handing a small file to another thread takes longer, and there are dozens.
  const bytes = readFileSync(source);
  return { path, source, size: bytes.length, sha256: sha256(bytes) };
}

export function refused(path: string, what: string, hint: string): MoxiError {
  const shown = printable(path).replaceAll(/[\n\t]/g, " ");
  return new MoxiError("E_BUNDLE", `${shown} ${what}`, { hint, place: { file: path } });
}
