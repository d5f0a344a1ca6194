import { execFile, execFileSync, spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";

// What npm would publish, used as a stranger would: from its tarball, in folders of their own.

const root = fileURLToPath(new URL("..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "moxi-package-"));
const unpacked = join(folder, "package");
let tarball: string;
let files: string[];

beforeAll(async () => {
  const { stdout } = await promisify(execFile)(
    "npm",
    ["pack", "--json", "--pack-destination", folder],
    { cwd: root, env: environment() },
  );
  // The build speaks first, on the same output.
  const [packed] = JSON.parse(stdout.slice(stdout.indexOf("[\n"))) as [
    { filename: string; files: { path: string }[] },
  ];
  tarball = packed.filename;
  files = packed.files.map(({ path }) => path);
  execFileSync("tar", ["-xzf", join(folder, tarball), "-C", folder]);
});
afterAll(() => rmSync(folder, { recursive: true }));

/** With this Node first in PATH, and a cache of its own for npm. */
function environment(): NodeJS.ProcessEnv {
  const { NODE_OPTIONS: _options, FORCE_COLOR: _colour, ...env } = process.env;
  const path = [dirname(process.execPath), env.PATH].join(delimiter);
  return { ...env, PATH: path, npm_config_cache: join(folder, "npm-cache") };
}

function project(name: string, contents: Record<string, string>): string {
  const path = join(folder, name);
  mkdirSync(path);
  for (const [file, text] of Object.entries(contents)) writeFileSync(join(path, file), text);
  return path;
}

test("the package holds the program, its types and the trainer, and nothing else", () => {
  for (const file of [
    "bin/moxi.cjs",
    "dist/main.js",
    "dist/index.js",
    "dist/types/index.d.ts",
    "dist/THIRD_PARTY_LICENSES.txt",
    "schema/event.json",
    "trainer/bootstrap.py",
    "trainer/moxi_train/finetune/main.py",
    "trainer/moxi_train/finetune/templates/families.json",
    "trainer/moxi_train/finetune/templates/qwen.jinja",
    "trainer/locks/local.txt",
    "infra/policies/submitter-sagemaker.json",
    "LICENSE",
    "README.md",
  ]) {
    expect(files).toContain(file);
  }
  const allowed = /^(?:bin|dist|schema|trainer|infra)\/|^(?:LICENSE|README\.md|package\.json)$/;
  expect(files.filter((file) => !allowed.test(file))).toEqual([]);
  expect(files.filter((file) => /test|fixture|fakes|__pycache__|\.map$/.test(file))).toEqual([]);
});

test("whoever installs it installs nothing else", () => {
  const manifest = JSON.parse(readFileSync(join(unpacked, "package.json"), "utf8")) as object;
  expect(manifest).not.toHaveProperty("dependencies");
  expect(manifest).not.toHaveProperty("scripts.postinstall");
});

test("each bundled package is there with its licence", () => {
  const text = readFileSync(join(unpacked, "dist/THIRD_PARTY_LICENSES.txt"), "utf8");
  for (const name of ["@stricli/core", "zod"])
    expect(text).toMatch(new RegExp(`^${name} \\d`, "m"));
});

const config = `import { defineConfig } from "moxi";
import type { UserConfig } from "moxi";

const model: UserConfig["model"] = "moxi:tiny";
export default defineConfig({ model, epochs: 2 });
`;

test.each([
  ["an empty folder", {}],
  ["a folder with a package.json without type", { "package.json": '{ "name": "app" }' }],
])("npx runs it in %s with a config in TypeScript, and nothing warns", (name, contents) => {
  const cwd = project(name.replaceAll(" ", "-"), { "moxi.config.ts": config, ...contents });
  copyFileSync(join(folder, tarball), join(cwd, tarball));
  const args = ["--yes", `./${tarball}`, "config", "--json"];
  const { status, stdout, stderr } = spawnSync("npx", args, {
    cwd,
    env: environment(),
    encoding: "utf8",
  });
  // npm may have something to say of its own settings on this machine.
  expect(stderr.split("\n").filter((line) => line !== "" && !line.startsWith("npm "))).toEqual([]);
  expect(status).toBe(0);
  const { settings } = JSON.parse(stdout) as { settings: { key: string }[] };
  expect(settings.find(({ key }) => key === "epochs")).toEqual({
    key: "epochs",
    value: 2,
    source: "config file",
    where: "moxi.config.ts:5",
  });
});

/** A Node on this machine that is too old for the program. */
const oldNode = (process.env.PATH ?? "")
  .split(delimiter)
  .map((path) => join(path, "node"))
  .find((node) => {
    const found = spawnSync(node, ["--version"], { encoding: "utf8" }).stdout ?? "";
    const [, major, minor] = /^v(\d+)\.(\d+)/.exec(found) ?? [];
    return Number(major) < 22 || (Number(major) === 22 && Number(minor) < 18);
  });

test.skipIf(oldNode === undefined)("a Node that is too old gets one sentence and exit 2", () => {
  const bin = join(unpacked, "bin/moxi.cjs");
  const { status, stdout, stderr } = spawnSync(oldNode!, [bin, "train"], { encoding: "utf8" });
  expect(stderr).toMatch(/^moxi needs Node\.js 22\.18 or newer, and this is v[\d.]+: \S+\n$/);
  expect(stdout).toBe("");
  expect(status).toBe(2);
});

test.each([
  ["nodenext", "nodenext"],
  ["esnext", "bundler"],
])("a consumer compiles strictly with module %s, without our packages", (module, resolution) => {
  const cwd = project(`consumer-${module}`, {
    "package.json": '{ "type": "module" }',
    "tsconfig.json": JSON.stringify({
      compilerOptions: {
        strict: true,
        skipLibCheck: false,
        exactOptionalPropertyTypes: true,
        noEmit: true,
        target: "es2024",
        module,
        moduleResolution: resolution,
        types: [],
      },
    }),
    "index.ts": `import { createContext, defineConfig, runs, train, watch, MoxiError } from "moxi";
import type { RunEvent, UserConfig, View } from "moxi";

export const config: UserConfig = defineConfig({ model: "moxi:tiny", lora: { rank: 8 } });
const context = createContext({ cwd: "/project" });
export async function main(): Promise<View | undefined> {
  const { run } = await train(context, { flags: { epochs: 2 } });
  const seen: RunEvent[] = [];
  for await (const { view, events } of watch(context, { run })) {
    seen.push(...events);
    if (view.status === "succeeded") return view;
  }
  const [newest] = await runs(context, { limit: 1 });
  throw new MoxiError("E_RUN_FAILED", newest?.error ?? "unknown");
}
// @ts-expect-error -- so that this test fails when everything has become any
defineConfig({ model: 3 });
`,
  });
  mkdirSync(join(cwd, "node_modules"));
  execFileSync("cp", ["-r", unpacked, join(cwd, "node_modules", "moxi")]);
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  const { status, stdout } = spawnSync(process.execPath, [tsc, "-p", "."], {
    cwd,
    encoding: "utf8",
  });
  expect(stdout).toBe("");
  expect(status).toBe(0);
});
