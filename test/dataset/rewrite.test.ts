import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createContext } from "../../src/api/context.ts";
import type { Context } from "../../src/api/context.ts";
import { dataConvert } from "../../src/api/data-convert.ts";
import { dataFix } from "../../src/api/data-fix.ts";
import { dataSplit } from "../../src/api/data-split.ts";

// split, convert and fix write new files: whole ones or none, and rows as they were.

let cwd: string;
let context: Context;
beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), "moxi-rewrite-"));
  context = createContext({ cwd, env: {}, home: cwd });
});
afterEach(() => rmSync(cwd, { recursive: true }));

const chat = (at: number, more = "") =>
  `{${more}"messages":[{"role":"user","content":"${at}?"},{"role":"assistant","content":"It is ${at}."}]}`;

interface Options {
  readonly path: string;
  readonly out?: string;
  readonly signal?: AbortSignal;
}
const commands: [string, string, (options: Options) => Promise<unknown>][] = [
  ["split", "rows.eval.jsonl", (options) => dataSplit(context, options)],
  ["convert", "rows.openai.jsonl", (options) => dataConvert(context, { to: "openai", ...options })],
  ["fix", "rows.fixed.jsonl.diff", (options) => dataFix(context, options)],
];

test.each(commands)("%s leaves nothing where it is called back", async (_, _file, act) => {
  writeFileSync(join(cwd, "rows.jsonl"), `${chat(1)}\n${chat(2)}\n`);
  const refused = act({ path: "rows.jsonl", signal: AbortSignal.abort() });
  await expect(refused).rejects.toMatchObject({
    code: "E_INTERRUPTED",
    message: "interrupted: nothing was written",
  });
  expect(readdirSync(cwd)).toEqual(["rows.jsonl"]);
});

test.each(commands)("%s writes over no file, nor through a link", async (_, file, act) => {
  writeFileSync(join(cwd, "rows.jsonl"), `${chat(1)}\n${chat(2)}\n`);
  symlinkSync("elsewhere", join(cwd, file));
  await expect(act({ path: "rows.jsonl" })).rejects.toMatchObject({
    code: "E_USAGE",
    message: expect.stringContaining("is there already") as string,
  });
  expect(readdirSync(cwd).sort()).toEqual(["rows.jsonl", file].sort());
});

test.each(commands)("%s makes the folder that it writes to", async (_, _file, act) => {
  writeFileSync(join(cwd, "rows.jsonl"), `${chat(1)}\n${chat(2)}\n`);
  await act({ path: "rows.jsonl", out: join("new", "rows") });
  expect(readdirSync(join(cwd, "new"))).not.toEqual([]);
});

test.each(commands)("%s tells of a place where no file can be", async (_, _file, act) => {
  writeFileSync(join(cwd, "rows.jsonl"), `${chat(1)}\n${chat(2)}\n`);
  await expect(act({ path: "rows.jsonl", out: join("rows.jsonl", "new") })).rejects.toMatchObject({
    code: "E_USAGE",
    message: expect.stringContaining("no file can be written at") as string,
  });
  expect(readdirSync(cwd)).toEqual(["rows.jsonl"]);
});

test.each([
  ["lines", (rows: readonly string[]) => rows.join("\n")],
  ["an array", (rows: readonly string[]) => `[\n${rows.join(",\n")}\n]`],
])("rows of %s keep their numbers, which JavaScript's cannot hold", async (_, whole) => {
  const numbers = ["12345678901234567890", "9007199254740993", "1.10", "-0", "1e400", "0.1"];
  const rows = numbers.map((number, at) => chat(at, `"id":[{"n":${number}}],`));
  writeFileSync(join(cwd, "rows.jsonl"), whole(rows));
  const { trainFile, evalFile } = await dataSplit(context, { path: "rows.jsonl" });
  const split = [trainFile, evalFile].flatMap((file) => readFileSync(file, "utf8").split("\n"));
  expect(split.filter((line) => line !== "").sort()).toEqual(rows.sort());
  const { file } = await dataFix(context, { path: "rows.jsonl" });
  const fixed = readFileSync(file, "utf8").split("\n");
  expect(fixed.filter((line) => line !== "").sort()).toEqual(rows.sort());
});

test("what fix takes out leaves the numbers beside it as they were", async () => {
  writeFileSync(join(cwd, "rows.jsonl"), `${chat(1, '"id":9007199254740993,"a":"x\u200b",')}\n`);
  const { file } = await dataFix(context, { path: "rows.jsonl" });
  expect(readFileSync(file, "utf8")).toBe(`${chat(1, '"id":9007199254740993,"a":"x",')}\n`);
});
