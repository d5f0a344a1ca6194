import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { isRecord } from "../../src/base/json.ts";

/** An installed npm package that says something of itself. */
export interface Package {
  readonly name: string;
  readonly description: string;
  /** e.g. "TypeScript library, ESM". */
  readonly projectType: string;
  readonly fileTree: string;
  readonly readme: string;
}

const maxEntries = 12;

/** Every package with a README below a `node_modules` folder: scoped, nested, sorted by path. */
export function* findPackages(nodeModules: string): Generator<Package> {
  for (const name of folders(nodeModules)) {
    if (name.startsWith(".")) continue;
    const folder = join(nodeModules, name);
    if (name.startsWith("@")) {
      for (const scoped of folders(folder)) yield* readPackage(join(folder, scoped));
    } else {
      yield* readPackage(folder);
    }
  }
}

function* readPackage(folder: string): Generator<Package> {
  const entries = list(folder);
  const readme = entries.find((entry) => entry.isFile() && /^readme(\.md)?$/i.test(entry.name));
  const manifest = readManifest(join(folder, "package.json"));
  if (manifest !== undefined && readme !== undefined) {
    yield {
      name: manifest.name,
      description: typeof manifest.description === "string" ? manifest.description : "",
      projectType: projectType(manifest),
      fileTree: fileTree(folder, manifest.name),
      readme: readFileSync(join(folder, readme.name), "utf8"),
    };
  }
  if (entries.some((entry) => entry.name === "node_modules" && entry.isDirectory())) {
    yield* findPackages(join(folder, "node_modules"));
  }
}

type Manifest = Record<string, unknown> & { name: string };

function readManifest(path: string): Manifest | undefined {
  try {
    const manifest: unknown = JSON.parse(readFileSync(path, "utf8"));
    return isRecord(manifest) && typeof manifest.name === "string"
      ? (manifest as Manifest)
      : undefined;
  } catch {
    return undefined; // No package, or a broken one: it teaches nothing.
  }
}

function projectType(manifest: Manifest): string {
  if (manifest.name.startsWith("@types/")) return "TypeScript type definitions";
  const exported = JSON.stringify(manifest.exports ?? "");
  const typed = "types" in manifest || "typings" in manifest || /\.d\.[cm]?ts"/.test(exported);
  const both = exported.includes('"import"') && exported.includes('"require"');
  const modules = both ? "ESM and CommonJS" : manifest.type === "module" ? "ESM" : "CommonJS";
  return `${typed ? "TypeScript" : "JavaScript"} ${"bin" in manifest ? "CLI" : "library"}, ${modules}`;
}

/** Two levels, folders with a slash, the README itself left out: it is what is asked for. */
function fileTree(folder: string, name: string): string {
  const wanted = (entry: { name: string }) => !/^(readme|\.|node_modules$)/i.test(entry.name);
  const top = list(folder).filter(wanted);
  const lines: string[] = [];
  let room = maxEntries - Math.min(top.length, maxEntries);
  let complete = top.length <= maxEntries;
  for (const entry of top.slice(0, maxEntries)) {
    lines.push(`  ${entry.name}${entry.isDirectory() ? "/" : ""}`);
    if (!entry.isDirectory()) continue;
    const below = list(join(folder, entry.name)).filter(wanted);
    const shown = below.slice(0, Math.min(room, 4));
    lines.push(...shown.map((item) => `    ${item.name}${item.isDirectory() ? "/" : ""}`));
    room -= shown.length;
    complete &&= shown.length === below.length;
  }
  return [`${name}/`, ...lines, ...(complete ? [] : ["  ..."])].join("\n");
}

function folders(path: string): string[] {
  return list(path)
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name);
}

/** Sorted by code units, so that every machine sees the same order; links are not followed. */
function list(path: string) {
  return readdirSync(path, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
}
