import { readdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { versions } from "node:process";
import { fileURLToPath } from "node:url";
import { hashJson } from "../base/hash.ts";
import { stampOf } from "../base/stamp.ts";

/**
 * Tells this program from any other, which might judge the same rows otherwise: by its files' sizes
 * and times, bundled or in a clone. Names of bundled files would not do: that of a thread's program
 * has no hash in it.
 *
 * @param file the program's file for this module, `src/api/program-id.ts` or a chunk in `dist/`
 */
export function programId(file = fileURLToPath(import.meta.url)): string {
  const isClone = file.endsWith(".ts");
  const folder = isClone ? dirname(dirname(file)) : dirname(file);
  const names = readdirSync(folder, { recursive: isClone, encoding: "utf8" });
  // What is installed in a clone is none of its sources.
  if (isClone) names.push("../node_modules/.package-lock.json");
  const stamps = names.map((name) => {
    const info = statSync(join(folder, name), { bigint: true, throwIfNoEntry: false });
    return [name, info && stampOf(info)];
  });
  // The letters that a pattern knows are Node's.
  return `${hashJson(stamps)}, Unicode ${versions.unicode}`;
}
