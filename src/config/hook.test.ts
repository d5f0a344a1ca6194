import { execFile } from "node:child_process";
import { mkdir, mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";

// Config programs run under plain Node, as users run them: vitest replaces Node's own module loader.

let folder: string;
beforeEach(async () => void (folder = await temporary()));
afterEach(() => rm(folder, { recursive: true }));

/** Node tells where a file really is, so the folder is named without links. */
const temporary = async () => realpath(await mkdtemp(join(tmpdir(), "moxi-hook-")));

async function write(files: Readonly<Record<string, string>>, at = folder): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(at, name)), { recursive: true });
    await writeFile(join(at, name), content);
  }
}

/** Runs `body` in a new Node in the folder; gives what it returns. Any warning fails the test. */
async function run(body: string, cwd = folder): Promise<unknown> {
  const script = `
    import { loadConfig } from ${JSON.stringify(new URL("load.ts", import.meta.url).href)};
    import { writeFileSync } from "node:fs";
    const libraryUrl = ${JSON.stringify(new URL("config.ts", import.meta.url).href)};
    const load = async (cwd = process.cwd()) => {
      try {
        return await loadConfig({ cwd, env: {}, home: "/", libraryUrl });
      } catch (error) {
        return error.toJSON?.() ?? { stack: error.stack };
      }
    };
    process.stdout.write(JSON.stringify(await (async () => { ${body} })()));`;
  const args = ["--input-type=module", "-e", script];
  const { stdout, stderr } = await promisify(execFile)(process.execPath, args, { cwd });
  expect(stderr).toBe("");
  return JSON.parse(stdout);
}

const config = (body: string, imports = "") =>
  `import { defineConfig } from "moxi";\n${imports}\nexport default defineConfig(${body});\n`;

describe("a config that imports moxi loads without a warning", () => {
  const packages = {
    "no package.json": undefined,
    "a package.json without type": "{}",
    "type commonjs": '{ "type": "commonjs" }',
    "type module": '{ "type": "module" }',
  };
  test.each(Object.entries(packages))("beside %s", async (_, json) => {
    const rest = 'import type { UserConfig } from "moxi"; const rest = { epochs: 4 };';
    await write({
      ...(json && { "package.json": json }),
      "1/moxi.config.ts": config("rest as UserConfig", rest),
      "2/moxi.config.mts": config("rest as UserConfig", rest),
      "3/moxi.config.js": config("{ epochs: 4 }"),
      "4/moxi.config.mjs": config("{ epochs: 4 }"),
    });
    const folders = ["1", "2", "3", "4"].map((name) => join(folder, name));
    expect(await run(`return Promise.all(${JSON.stringify(folders)}.map(load))`)).toMatchObject(
      folders.map((each) => ({ folder: each, config: { epochs: 4 } })),
    );
  });
});

test("it may import its neighbours, ES modules and CommonJS, and packages", async () => {
  await write({
    "package.json": "{}",
    "moxi.config.ts": config(
      "{ epochs: a + b + c + d }",
      `import { a } from "./lib/a.ts"; import { b } from "./lib/b.js";
       import c from "./lib/c.js"; import d from "d";`,
    ),
    "lib/a.ts":
      'import { defineConfig } from "moxi"; export const a: number = defineConfig.length;',
    "lib/b.js": "export const b = 2;",
    "lib/c.js": "module.exports = 3;",
    "node_modules/d/package.json": '{ "name": "d", "main": "d.js" }',
    "node_modules/d/d.js": "module.exports = 4;",
  });
  expect(await run("return load()")).toMatchObject({ config: { epochs: 10 } });
});

test("a moxi installed beside it is not asked: the config talks to the one that runs", async () => {
  await write({
    "moxi.config.ts": config("{ epochs: 4 }"),
    "node_modules/moxi/package.json": '{ "name": "moxi", "type": "module", "main": "i.js" }',
    "node_modules/moxi/i.js": "throw new Error('the wrong moxi');",
  });
  expect(await run("return load()")).toMatchObject({ config: { epochs: 4 } });
});

test("each load reads the files anew, and leaves no hook behind", async () => {
  await write({
    "moxi.config.ts": config("{ epochs }", 'import { epochs } from "./epochs.ts";'),
    "epochs.ts": "export const epochs = 1;",
  });
  const result = await run(`
    const [first, again] = await Promise.all([load(), load()]);
    writeFileSync("epochs.ts", "export const epochs = 2;");
    const changed = await load();
    const leaked = await import("moxi").then(() => true, () => false);
    return [first, again, changed].map((each) => each.config.epochs).concat(leaked);`);
  expect(result).toEqual([1, 1, 2, false]);
});

describe("settings are found in the program", () => {
  test("the line is told where it is certain", async () => {
    await write({
      "moxi.config.ts": config(
        '{\n  // epochs: 9,\n  epochs: 4, // not 5: too many\n  lora: { rank: 8 },\n  "model": "org/name",\n}',
      ),
    });
    expect(await run("return load()")).toMatchObject({
      sources: {
        epochs: { where: "moxi.config.ts:5" },
        "lora.rank": { where: "moxi.config.ts:6" },
        model: { where: "moxi.config.ts:7" },
      },
    });
  });

  test("two lines that could be meant are none", async () => {
    await write({
      "moxi.config.ts": config("{ epochs: four.epochs }", "const four = {\n  epochs: 4 };"),
    });
    expect(await run("return load()")).toMatchObject({
      sources: { epochs: { source: "config file", where: "moxi.config.ts" } },
    });
  });
});

describe("errors", () => {
  const like = (pattern: RegExp): unknown => expect.stringMatching(pattern);
  const cases: [string, string, object][] = [
    [
      "a name that is not there",
      "\nconst a = 1;\nexport default { epochs: b };",
      { code: "E_CONFIG_UNREADABLE", place: { line: 3, column: 26 } },
    ],
    [
      "an error that it throws",
      '\n\nthrow new Error("set TEAM\\u001b[31m first\\nplease");',
      {
        message: "moxi.config.ts cannot be read: set TEAM\\u001b[31m first",
        place: { line: 3, column: 7 },
      },
    ],
    [
      "something else that it throws",
      'throw "no";',
      { message: "moxi.config.ts cannot be read: no" },
    ],
    ["a syntax error", "export default {\n  epochs: ;\n};", { place: { line: 2 } }],
    [
      "TypeScript that cannot be stripped",
      "export default {};\nenum Size { Small }",
      { code: "E_CONFIG_UNREADABLE", place: { line: 2 }, hint: like(/enum/) },
    ],
    [
      "a file that is not there",
      'import "./gone.ts";',
      { message: like(/gone\.ts/), hint: like(/ending/) },
    ],
    [
      "a package that is not there",
      'import "gone";',
      { message: like(/'gone'/), hint: like(/installed/) },
    ],
    ["CommonJS", "module.exports = {};", { hint: like(/export default/) }],
    ["no default export", "export const epochs = 3;", { message: like(/exports no default/) }],
    [
      "a function",
      "export default () => ({});",
      { message: like(/exports a function/), hint: like(/plain/) },
    ],
    ["a promise", "export default Promise.resolve({});", { message: like(/exports a promise/) }],
    ["a list", "export default [];", { message: like(/exports a list/) }],
    [
      "a wrong value",
      'export default {\n  epochs: "many",\n};',
      { code: "E_CONFIG_INVALID", place: { line: 2, field: "epochs" } },
    ],
  ];
  let root: string;
  let errors: unknown[];
  const file = (index: number) => join(root, String(index), "moxi.config.ts");
  beforeAll(async () => {
    root = await temporary();
    await write(
      Object.fromEntries(cases.map(([, text], i) => [`${i}/moxi.config.ts`, text])),
      root,
    );
    const folders = cases.map((_, i) => dirname(file(i)));
    errors = (await run(`return Promise.all(${JSON.stringify(folders)}.map(load))`, root)) as [];
  });
  afterAll(() => rm(root, { recursive: true }));

  test.each(cases.map(([name], index) => ({ name, index })))("$name", ({ index }) => {
    expect(errors[index]).toMatchObject({ exitCode: 2, place: { file: file(index) } });
    expect(errors[index]).toMatchObject(cases[index]![2]);
    expect(JSON.stringify(errors[index])).not.toContain("moxi-load");
  });

  test("in a file that the config imports: that file is told", async () => {
    await write({
      "moxi.config.ts": 'import "./a.ts"; export default {};',
      "a.ts": "\nexport const a = gone;",
    });
    expect(await run("return load()")).toMatchObject({
      place: { file: join(folder, "a.ts"), line: 2 },
    });
  });
});
