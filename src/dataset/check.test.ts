import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { afterAll, expect, test } from "vitest";
import { checkDataset } from "./check.ts";
import type { CheckOptions } from "./check.ts";
import { fixDataset } from "./fix.ts";

const folder = mkdtempSync(join(tmpdir(), "moxi-check-"));
afterAll(() => rmSync(folder, { recursive: true }));

const rows = Array.from({ length: 60 }, (_, i) => ({
  question: `What is ${i}?`,
  answer: `It is ${i}.`,
}));
const lines = rows.map((row) => JSON.stringify(row)).join("\n");
const check = (path: string, options: Partial<CheckOptions> = {}) =>
  checkDataset({ path, cwd: folder, ...options });
const aSecret = ["ghp_", "a8Kd03jLmQ2xVb7TzR4wYc9NeUf6HsGp1Xo5"].join("");
const write = (name: string, content: string | Uint8Array) => {
  writeFileSync(join(folder, name), content);
  return name;
};

test.each<[string, string | Uint8Array, string]>([
  ["a.jsonl", lines, "JSON Lines"],
  ["a.json", JSON.stringify(rows), "a JSON array"],
  ["b.json", JSON.stringify({ version: 1, data: rows }, null, 1), "a JSON object of arrays"],
  [
    "a.csv",
    `question,answer\n${rows.map((row) => `${row.question},${row.answer}`).join("\n")}`,
    "CSV",
  ],
  [
    "a.tsv",
    `question\tanswer\n${rows.map((row) => `${row.question}\t${row.answer}`).join("\n")}`,
    "CSV",
  ],
  ["a.jsonl.gz", gzipSync(lines), "JSON Lines"],
  ["a.jsonl.zst", zstdCompressSync(Buffer.from(lines)), "JSON Lines"],
])("the same rows in %s", async (name, content, container) => {
  const found = await check(write(name, content));
  expect(found.problems.filter(({ severity }) => severity !== "info")).toEqual([]);
  expect(found.rows).toEqual({ total: 60, usable: 60 });
  expect(found.format).toBe(`question and answer rows in ${container}`);
  expect(found.mapping).toEqual({ question: "prompt", answer: "completion" });
});

test("a folder: sorted, hidden files and links out told, forms compared", async () => {
  const at = join(folder, "many");
  mkdirSync(join(at, "sub"), { recursive: true });
  writeFileSync(join(at, "b.jsonl"), lines.replaceAll("What", "Who"));
  writeFileSync(join(at, "sub", "c.json"), JSON.stringify(rows));
  writeFileSync(join(at, ".hidden.jsonl"), "{");
  writeFileSync(join(at, "notes.txt"), "hello");
  symlinkSync(join(folder, write("outside.jsonl", lines)), join(at, "out.jsonl"));
  const found = await check("many");
  expect(found.files.map(({ name, rows: count }) => [name, count])).toEqual([
    ["many/b.jsonl", 60],
    ["many/sub/c.json", 60],
  ]);
  const told = found.problems.map(({ code, places }) => [code, places.map(({ detail }) => detail)]);
  expect(told).toEqual([
    ["outside-link", ["many/out.jsonl: a link that leads out of the folder"]],
    ["not-read", ["many/.hidden.jsonl: hidden", "many/notes.txt: no file of rows"]],
  ]);
  writeFileSync(join(at, "d.jsonl"), '{"text":"This is one."}\n{"text":"This is two."}');
  const mixed = (await check("many")).problems.find(({ code }) => code === "mixed-files");
  expect([mixed?.severity, mixed?.count]).toEqual(["error", 3]);
});

test("a link that the user names is read", async () => {
  write("target.jsonl", lines);
  symlinkSync("target.jsonl", join(folder, "link.jsonl"));
  expect((await check("link.jsonl")).rows.total).toBe(60);
});

test("levels: off, raised, and all warnings raised", async () => {
  const name = write("twice.jsonl", `${lines}\n${JSON.stringify(rows[0])}`);
  const found = async (options: Partial<CheckOptions>) => {
    const { problems, rows: count } = await check(name, options);
    return [problems.map(({ code, severity }) => `${code} ${severity}`), count.usable];
  };
  expect(await found({})).toEqual([["duplicate warning"], 61]);
  expect(await found({ levels: { duplicate: "off" } })).toEqual([[], 61]);
  expect(await found({ levels: { duplicate: "error" } })).toEqual([["duplicate error"], 60]);
  expect(await found({ strict: true })).toEqual([["duplicate error"], 60]);
});

test("rows that have no group are counted", async () => {
  const grouped = rows.map((row, i) => JSON.stringify(i < 3 ? row : { ...row, shop: i % 5 }));
  const { problems } = await check(write("grouped.jsonl", grouped.join("\n")), { groupBy: "shop" });
  expect(problems).toMatchObject([{ code: "ungrouped", places: [{ detail: "3 of 60" }] }]);
});

test("places are lines and columns, in lines and in arrays", async () => {
  const broken = `${lines}\n{"question":"a","answer":oops}\n`;
  const [inLines] = (await check(write("broken.jsonl", broken))).problems;
  expect(inLines!.places[0]).toMatchObject({ line: 61, row: 61, column: 26 });
  const array = `[${lines.replaceAll("\n", ",\n")},\n\n  {"question":"a","answer":"b","x":[1 2]}]`;
  const [inArray] = (await check(write("broken.json", array))).problems;
  expect(inArray!.places[0]).toMatchObject({ line: 62, row: 61, column: 39 });
});

test("fix writes a new file and a diff, and never over another", async () => {
  const text = [
    lines,
    JSON.stringify(rows[3]),
    JSON.stringify({ question: "Which key?", answer: `It is ${aSecret} now.` }),
    JSON.stringify({ question: "Hid\u200bden?", answer: "No\u202e, it\u001b is." }),
  ].join("\n");
  const name = write("mend.jsonl", text);
  const { file, diffFile, rows: count } = await fixDataset({ path: name, cwd: folder });
  expect(file).toBe(join(folder, "mend.fixed.jsonl"));
  expect(count).toEqual({ total: 63, kept: 61, dropped: 2, mended: 1 });
  expect(readFileSync(join(folder, name), "utf8")).toBe(text);
  const fixed = readFileSync(file, "utf8");
  expect(fixed.split("\n").at(-2)).toBe('{"question":"Hidden?","answer":"No, it is."}');
  expect((await check(file)).problems).toEqual([]);
  expect(readFileSync(diffFile, "utf8").split("\n")).toEqual([
    "--- mend.jsonl",
    "+++ mend.fixed.jsonl",
    "@@ mend.jsonl:61 row 61",
    "- the whole row: the same as an earlier row",
    "@@ mend.jsonl:62 row 62",
    "- the whole row: a secret, such as a key or a password (answer)",
    "@@ mend.jsonl:63 row 63",
    "~ took out 3 characters that cannot be seen: U+200B, U+202E, U+001B",
    "",
  ]);
  await expect(fixDataset({ path: name, cwd: folder })).rejects.toMatchObject({ code: "E_USAGE" });
  expect(readFileSync(file, "utf8")).toBe(fixed);
});

test("secrets, and rows that are not the same, are found in thoughts, calls and tools", async () => {
  const asked = { role: "user", content: "How warm is it in Rome?" };
  const tools = [{ type: "function", function: { name: "weather", description: aSecret } }];
  const tool_calls = [
    { id: "a", type: "function", function: { name: "weather", arguments: { key: aSecret } } },
  ];
  const said = { role: "assistant", content: "Warm." };
  const chats = [
    [asked, { ...said, reasoning_content: `The key is ${aSecret}.` }],
    [asked, { ...said, reasoning_content: "It is summer." }],
    [
      asked,
      { role: "assistant", tool_calls },
      { role: "tool", content: "31", tool_call_id: "a" },
      said,
    ],
  ].map((messages) => JSON.stringify({ messages }));
  const text = [...chats, JSON.stringify({ messages: [asked, said], tools })].join("\n");
  const { problems } = await check(write("beside.jsonl", text));
  const secrets = problems.find(({ code }) => code === "secret");
  expect(secrets?.places.map(({ row, field }) => [row, field])).toEqual([
    [1, "messages[1].reasoning_content"],
    [3, "messages[1].tool_calls[0]"],
    [4, "tools"],
  ]);
  expect(problems.map(({ code }) => code)).not.toContain("duplicate");
});

test.each<[string, string]>([
  ["a field", `{"${aSecret}": 1}`],
  ["a role", `{"messages": [{"role": "${aSecret}", "content": "a"}]}`],
  [
    "a field of a message",
    `{"messages": [{"role": "assistant", "content": "a", "${aSecret}": 1}]}`,
  ],
  ["a field that stands there twice", `{"messages": [], "${aSecret}": 1, "${aSecret}": 2}`],
  ["what is no JSON", `{"messages": ${aSecret}}`],
  [
    "the type of a part",
    `{"messages": [{"role": "assistant", "content": [{"type": "${aSecret}"}]}]}`,
  ],
])("a secret is not told where it is %s", async (_, row) => {
  const sound = '{"messages": [{"role": "assistant", "content": "Yes."}]}';
  const found = await check(write("told.jsonl", `${sound}\n${row}\n`), { maxPlaces: Infinity });
  expect(found.problems.flatMap(({ places }) => places).some(({ line }) => line === 2)).toBe(true);
  expect(JSON.stringify(found)).not.toContain(aSecret.slice(0, 12));
  const refused = check(write("none.jsonl", `${aSecret}\n`)).catch((error: unknown) => error);
  expect(JSON.stringify(await refused)).not.toContain(aSecret.slice(0, 12));
});

test.each<[string, string]>([
  ["the name of two columns", `${aSecret},${aSecret}\na,b\nc,d\n`],
  ["the name of an array", `{"${aSecret}": [{"prompt": "a", "completion": "b"}]}`],
  ["the password of an address", `postgres://me:${"Correcthorse"}@prod.internal/db\n`],
])("a secret is not told where it is %s", async (_, text) => {
  const told = await check(write("whole.txt", text)).catch((error: unknown) => error);
  expect(JSON.stringify(told)).toMatch(/two columns|rows stand in an object|expected JSON/);
  expect(JSON.stringify(told)).not.toMatch(/a8Kd03jLmQ2x|Correcthorse/);
});

test("a row that is the same as one with an error stays, and those after it go", async () => {
  const said = (at: number) => `"question":"${at}?","answer":"It is ${at}."`;
  const twice = `{"question":"No",${said(1)}}`;
  const text = [twice, `{${said(1)}}`, `{${said(1)}}`, twice, `{${said(2)}}`].join("\n");
  const name = write("again.jsonl", text);
  for (const strict of [false, true]) {
    const found = await check(name, { levels: { "too-few-rows": "off" }, strict });
    const places = found.problems.find(({ code }) => code === "duplicate")!.places;
    expect(places.map(({ row, detail }) => `${row} ${detail}`)).toEqual([
      "3 like row 2",
      "4 like row 1",
    ]);
    expect(found.rows.usable).toBe(strict ? 2 : 3);
  }
  const { file, rows: count } = await fixDataset({ path: name, cwd: folder });
  expect(count).toEqual({ total: 5, kept: 2, dropped: 3, mended: 0 });
  expect(readFileSync(file, "utf8")).toBe(`{${said(1)}}\n{${said(2)}}\n`);
});

test("places are told from where people stand, and by their whole path elsewhere", async () => {
  write("inside.jsonl", `${lines}\n{}`);
  const fileOf = async (cwd: string) => {
    const { files, problems } = await checkDataset({ path: join(folder, "inside.jsonl"), cwd });
    return [files[0]!.name, problems[0]!.places[0]!.file];
  };
  expect(await fileOf(folder)).toEqual(["inside.jsonl", "inside.jsonl"]);
  const outside = join(folder, "inside.jsonl");
  expect(await fileOf(join(folder, "many"))).toEqual([outside, outside]);
});

test("rows that nothing tells the form of are not called chat rows", async () => {
  const found = await check(write("unknown.jsonl", "{}\n{}\n"));
  expect([found.format, found.mapping]).toEqual(["rows of no known form in JSON Lines", {}]);
  expect(found.problems.map(({ code }) => code)).toContain("unknown-form");
});

test("the longest answer is told exactly, by threads too", async () => {
  const long = `${lines}\n${JSON.stringify({ question: "Why?", answer: `${"Because. ".repeat(123)}So.` })}`;
  for (const threadsFrom of [0, Infinity]) {
    const { stats } = await check(write("long.jsonl", long), { threadsFrom });
    expect([stats.promptCharacters, stats.answerCharacters]).toEqual([
      { p50: 11, p95: 11, max: 11 },
      { p50: 9, p95: 9, max: 1110 },
    ]);
  }
});

test.each(["utf-16le", "utf-16be"])(
  "%s without a byte order mark is told as such",
  async (name) => {
    const bytes = Buffer.from(`[{"prompt": "a", "completion": "b é €"}]`, "utf16le");
    const refused = check(write("wide.json", name === "utf-16le" ? bytes : bytes.swap16()));
    await expect(refused).rejects.toMatchObject({
      code: "E_DATASET_ENCODING",
      message: "wide.json looks like UTF-16, not UTF-8",
      hint: expect.stringContaining(`iconv -f ${name.toUpperCase()} -t UTF-8`) as string,
    });
  },
);

test("what stands before a row that is too long is counted, by threads too", async () => {
  const name = write("endless.jsonl", `${lines}\n{"question": "${"x".repeat(66 << 20)}`);
  for (const threadsFrom of [0, Infinity]) {
    const { rows: found, problems } = await check(name, { threadsFrom });
    expect(found.total).toBe(60);
    const [place] = problems.find(({ code }) => code === "unreadable")!.places;
    expect([place!.line, place!.column]).toEqual([61, 1]);
  }
});
