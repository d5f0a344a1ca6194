import { existsSync, readFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { MoxiError } from "../base/errors.ts";
import { hashJson, sha256 } from "../base/hash.ts";

/** The training program as it lies in this package. */
export interface Trainer {
  /** Holds bootstrap.py, moxi_train/ and locks/. */
  readonly folder: string;
  readonly lockFile: string;
}

/** Finds the training program. It lies above src/ in a clone and above dist/ in the package. */
export function findTrainer(): Trainer {
  let above = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(above, "trainer", "bootstrap.py"))) {
    if (above === dirname(above)) {
      throw new MoxiError("E_INTERNAL", "this installation of Moxi lacks its trainer/ folder", {
        hint: "install Moxi again",
      });
    }
    above = dirname(above);
  }
  const folder = join(above, "trainer");
  return { folder, lockFile: join(folder, "locks", "local.txt") };
}

/** What a recipe says of the training program: SHA-256 over the files that run, and over the locks. */
export async function hashTrainer({
  folder,
  lockFile,
}: Trainer): Promise<{ readonly code: string; readonly lock: string }> {
  const { readLocks } = await import("../python/locks.ts");
  const names = ["bootstrap.py"];
  for (const entry of await readdir(join(folder, "moxi_train"), { recursive: true })) {
    if (/\.(?:py|jinja|json)$/.test(entry)) names.push(`moxi_train/${entry.replaceAll("\\", "/")}`);
  }
  const files: Record<string, string> = {};
  for (const name of names) files[name] = sha256(readFileSync(join(folder, name)));
  return { code: hashJson(files), lock: (await readLocks(lockFile)).hash };
}
