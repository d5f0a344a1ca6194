// Builds what the package holds: dist/ with the bundled program and library, their types, and the
// licences of the packages that were bundled. `node scripts/build.ts [folder]`
import { execFile } from "node:child_process";
import { readFile, readdir, rm, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { rolldown } from "rolldown";
import type { OutputChunk, Plugin } from "rolldown";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Builds into an empty folder and returns the chunks. */
export async function build(folder: string): Promise<OutputChunk[]> {
  await rm(folder, { recursive: true, force: true });
  const [chunks] = await Promise.all([bundle(folder), declareTypes(join(folder, "types"))]);
  await writeFile(join(folder, "THIRD_PARTY_LICENSES.txt"), await licences(chunks));
  return chunks;
}

/**
 * The program and the library share their chunks. Those of the threads are their own: a shared one
 * may import the program, which would start once more in each of them. They lie flat:
 * import.meta.url is used to find index.js.
 */
export async function bundle(folder: string): Promise<OutputChunk[]> {
  const program = { main: "src/cli/main.ts", index: "src/index.ts" };
  const workers = {
    "transfer-worker": "src/storage/worker.ts",
    "dataset-worker": "src/dataset/rules/worker.ts",
  };
  return [...(await write(folder, program)), ...(await write(folder, workers))];
}

async function write(folder: string, input: Record<string, string>): Promise<OutputChunk[]> {
  const bundler = await rolldown({
    cwd: root,
    input,
    platform: "node",
    plugins: [cheapBuiltins, plainText],
    // Many packages name a CommonJS file first, which cannot be shaken: five times the size.
    resolve: { mainFields: ["module", "main"] },
    onLog(level, log) {
      // Where all of AWS lies in one chunk, what is imported late in it is there already.
      if (log.code === "INEFFECTIVE_DYNAMIC_IMPORT") return;
      if (level === "warn") throw new Error(log.message);
    },
  });
  const { output } = await bundler.write({
    dir: folder,
    format: "esm",
    minify: true,
    chunkFileNames: "[name]-[hash].js",
    // Each file costs a start half a millisecond. What every command needs lies in one, what
    // `moxi runs` needs besides in another; what is imported dynamically stays on its own.
    codeSplitting: {
      groups: [
        { name: "core", test: /src\/cli\/[^/]*$/, priority: 2 },
        { name: "runs", test: /src\/cli\/commands\/runs\.run\.ts$/, priority: 1 },
        // Or they would lie with AWS, which needs them too, and `moxi show` would load all of it;
        { name: "common", test: commonModules, priority: 3 },
        // or a run on this machine.
        { name: "shared", test: sharedModules, priority: 1 },
        // A run on AWS asks seven services before it starts, all of them at once.
        { name: "aws", test: awsModules },
        // What `moxi train` needs in any case: at once, and after a look at its flags.
        { name: "train", test: /src\/cli\/commands\/train\.run\.ts$/ },
        { name: "plan", test: planModules },
      ],
    },
  });
  await bundler.close();
  return output.filter((item) => item.type === "chunk");
}

const commonModules =
  /src\/(?:store\/(?:lock|process)|run\/recipe|base\/(?:paths|stamp|waiting)|storage\/names)\.ts$|node:(?:buffer|stream|worker_threads|zlib)$/;

const sharedModules =
  /src\/(?:model\/(?:adapter|folder)|targets\/lines|run\/job|bundle\/(?:files|secrets)|base\/file-hash)\.ts$/;

/** Not what few runs need, or only those that have started: rare credentials, secrets, logs, models. */
const awsModules =
  /src\/(?:aws\/(?!ssm|logs)|account\/|targets\/sagemaker\/(?!fetch))|node_modules\/(?:@aws-sdk\/(?!credential|token|nested|client-(?:sso|cognito|ssm|cloudwatch))|@smithy\/(?!credential))/;

const planModules =
  /src\/(?:config\/load|dataset\/memory|model\/resolve|python\/locks|planner\/plan|run\/schemas)\.ts$/;

/** Of node:http: each loads Node's fetch, for 20 ms, and `import("node:http")` asks for all names. */
const fetches = new Set(["WebSocket", "CloseEvent", "MessageEvent"]);

/**
 * `import { inspect } from "node:util"` makes Node evaluate every export of that module, lazy ones
 * too: 5 ms of a start, and 7 ms for node:process. Taken one by one they cost nothing, and what nobody
 * takes anything of is not loaded: node:http2, which the AWS SDK has for other services, takes 8 ms.
 */
const cheapBuiltins: Plugin = {
  name: "cheap-builtins",
  resolveId: (id) => (id.startsWith("node:") ? `\0${id}` : undefined),
  load(id) {
    if (!id.startsWith("\0node:")) return;
    const name = id.slice(1);
    const names = Object.keys(process.getBuiltinModule(name)!).filter(
      (key) => /^\w+$/.test(key) && !fetches.has(key),
    );
    return [
      `const builtin = /* @__PURE__ */ process.getBuiltinModule("${name}");`,
      "export default builtin;",
      ...names.map((key) => `export const ${key} = /* @__PURE__ */ (() => builtin.${key})();`),
    ].join("\n");
  },
};

/** One character beyond ASCII, and Node keeps a whole file with two bytes a character: 5 ms of a start. */
const plainText: Plugin = {
  name: "plain-text",
  generateBundle(_, files) {
    for (const file of Object.values(files)) {
      if (file.type !== "chunk") continue;
      // oxlint-disable-next-line no-control-regex -- ASCII, all of it
      file.code = file.code.replaceAll(/[^\0-\x7f]/g, (character) => {
        return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
      });
    }
  },
};

/** The library's types, without those that nothing reachable from it names. */
async function declareTypes(folder: string): Promise<void> {
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  const args = [tsc, "-p", join(root, "tsconfig.types.json"), "--outDir", folder];
  await promisify(execFile)(process.execPath, args, { cwd: root });
  const reached = new Set<string>();
  const reach = async (file: string): Promise<void> => {
    if (reached.has(file)) return;
    reached.add(file);
    const text = await readFile(file, "utf8");
    for (const [, specifier] of text.matchAll(/\bfrom "([^"]+)"|\bimport\("([^"]+)"\)/g)) {
      // A consumer has neither our development packages nor, perhaps, Node's types.
      if (specifier === undefined || !specifier.startsWith(".")) {
        throw new Error(`${file} takes types from ${specifier}, which a consumer lacks`);
      }
      await reach(resolve(dirname(file), specifier.replace(/\.[jt]s$/, ".d.ts")));
    }
  };
  await reach(join(folder, "index.d.ts"));
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const file = join(entry.parentPath, entry.name);
    if (entry.isFile() && !reached.has(file)) await rm(file);
  }
}

/** Name, version and licence text of every package that has code in the chunks. */
async function licences(chunks: readonly OutputChunk[]): Promise<string> {
  const folders = new Set<string>();
  for (const id of chunks.flatMap((chunk) => chunk.moduleIds)) {
    const match = /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(id.replaceAll("\\", "/"));
    if (match !== null) folders.add(match[0]);
  }
  const texts: string[] = [];
  for (const folder of [...folders].sort()) {
    const manifest = JSON.parse(await readFile(join(folder, "package.json"), "utf8")) as {
      name: string;
      version: string;
      license?: string;
    };
    const file = (await readdir(folder)).find((name) => /^licen[cs]e/i.test(name));
    const text =
      file === undefined
        ? `Licence: ${manifest.license ?? "not stated"}`
        : await readFile(join(folder, file), "utf8");
    texts.push(`${manifest.name} ${manifest.version}\n\n${text.trim()}\n`);
  }
  return texts.join(`\n${"-".repeat(78)}\n\n`);
}

if (import.meta.main) {
  const folder = resolve(root, process.argv[2] ?? "dist");
  const chunks = await build(folder);
  const size = chunks.reduce((sum, chunk) => sum + Buffer.byteLength(chunk.code), 0);
  process.stdout.write(`${folder}: ${chunks.length} chunks, ${(size / 1000).toFixed(0)} kB\n`);
}
