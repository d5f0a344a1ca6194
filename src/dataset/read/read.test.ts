import { execFileSync } from "node:child_process";
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { isMoxiError } from "../../base/errors.ts";
import { ArrayFramer, LineFramer } from "./frame.ts";
import { readLayout } from "./layout.ts";
import { readRows } from "./rows.ts";
import type { RawRow } from "./rows.ts";
import { Source } from "./source.ts";
import { findSyntaxProblem } from "./syntax.ts";

const folder = mkdtempSync(join(tmpdir(), "moxi-read-"));
afterAll(() => rmSync(folder, { recursive: true }));

async function readFile(path: string): Promise<RawRow[]> {
  const source = await Source.open(path, folder);
  try {
    const rows: RawRow[] = [];
    for await (const batch of readRows(source, await readLayout(source))) rows.push(...batch.rows);
    return rows;
  } finally {
    await source.close();
  }
}

function readText(content: string | Uint8Array): Promise<RawRow[]> {
  writeFileSync(join(folder, "rows"), content);
  return readFile("rows");
}

/** The error as `--json` shows it. */
async function failure(reading: Promise<unknown>) {
  const error: unknown = await reading.then(
    () => expect.fail("this should not be readable"),
    (reason: unknown) => reason,
  );
  if (!isMoxiError(error)) throw error;
  return error.toJSON();
}

describe("rows and their lines", () => {
  const a = { value: { a: "x\n[{" }, row: 1 };
  const b = { value: { b: ['"]\\'] }, row: 2 };
  const [one, two] = [JSON.stringify(a.value), JSON.stringify(b.value)];

  test.each([
    ["JSON Lines", `${one}\n${two}\n`, [1, 2]],
    ["no line feed at the end", `${one}\n${two}`, [1, 2]],
    ["blank lines and CRLF", `\n \t\r\n${one}\r\n\r\n${two}\r\n`, [3, 5]],
    ["a byte order mark", `\ufeff${one}\n${two}`, [1, 2]],
    ["an array on one line", `[${one},${two}]`, [1, 1]],
    ["an array, pretty", JSON.stringify([a.value, b.value], null, 2), [2, 5]],
    ["an array with blanks everywhere", `\ufeff\n [\n\n${one}\r\n,\n${two} \n]\n\n`, [4, 6]],
  ])("%s", async (_, text, [first, second]) => {
    expect((await readText(text)).map(withoutText)).toEqual([
      { ...a, line: first },
      { ...b, line: second },
    ]);
  });

  test("values of every kind in an array", async () => {
    const values = [1, -2.5e3, "a,b]", true, null, [], {}, [[1], { x: "}" }]];
    for (const text of [JSON.stringify(values), JSON.stringify(values, null, 1)]) {
      expect((await readText(text)).map((row) => row.value)).toEqual(values);
    }
  });

  test("rows across the borders of what is read at once", async () => {
    const values = Array.from({ length: 40 }, (_, i) => ({ text: `${i}é"\\\n`.repeat(7000 + i) }));
    const lines = values.map((value) => JSON.stringify(value));
    expect((await readText(lines.join("\n"))).map((row) => row.value)).toEqual(values);
    expect((await readText(`[${lines.join(",\n")}]`)).map(withoutText).at(-1)).toEqual({
      value: values.at(-1),
      row: 40,
      line: 40,
    });
  });

  /** The text beside a row says the same. */
  function withoutText({ text, ...row }: RawRow) {
    expect(JSON.parse(text!)).toEqual(row.value);
    return row;
  }

  test.each([1, 2, 3, 5, 64])("the same frames from chunks of %i bytes", (size) => {
    const array = Buffer.from(` [ {"a":"\\\\\\"]é"} ,\n[1,\n[2]], "x\\"" , 3 ]\n`);
    const lines = Buffer.from(`{"a":"é"}\n\n \r\n{"b":1}\r\n[2]`);
    for (const [Framer, bytes] of [
      [ArrayFramer, array],
      [LineFramer, lines],
    ] as const) {
      expect(frames(new Framer(0), bytes, size)).toEqual(frames(new Framer(0), bytes, 1000));
    }
  });

  function frames(framer: ArrayFramer | LineFramer, bytes: Buffer, size: number) {
    const found = [];
    for (let at = 0; at < bytes.length; at += size) {
      found.push(...framer.push(bytes.subarray(at, at + size)).map(copy));
    }
    return [...found, ...framer.end().map(copy)];
  }

  function copy(frame: { bytes: Buffer; offset: number; line: number }) {
    return { ...frame, bytes: frame.bytes.toString() };
  }
});

describe("a broken file is told with its place", () => {
  const padding = `{"text":"${"é".repeat(200_000)}"}`;

  test.each([
    [
      "a missing comma",
      '[{"a":1}\n {"b":2}]',
      2,
      2,
      /expected "," or "\]" after a row, found "\{"/,
    ],
    ["a trailing comma in an array", '[{"a":1},\n]', 2, 1, /remove the comma before it/],
    ["a leading comma", "[,1]", 1, 2, /expected a row, found ","/],
    ["a trailing comma in a row", '{"a":1,}', 1, 8, /found "}"/],
    ["an array that never ends", '[{"a":1}\n', 2, 1, /expected "\]"/],
    ["something after the array", '[{"a":1}]\n x', 2, 2, /nothing after the array, found "x"/],
    ["the second of two arrays", "[1]\n[2]", 2, 1, /nothing after the array/],
    ["a row that never ends", '[{"a":1},\n  {"b":[1', 2, 10, /and it ends here/],
    ["a mismatched bracket", '[{"a":[1}]', 1, 9, /expected "," or "\]", found "}"/],
    ["Python's None", '{"é€😀": None}', 1, 9, /found "None": write null/],
    ["NaN", '{"a": -NaN}', 1, 7, /found "NaN": JSON has no NaN/],
    ["single quotes", "{'a': 1}", 1, 2, /double quotes/],
    ["a number with a leading zero", '[\n{"a": 012}]', 2, 7, /expected a value/],
    ["an unknown escape", '{"a": "C:\\data"}', 1, 10, /a backslash inside text is written/],
    ["a line break inside text", '[{"a": "x\ny"}]', 1, 10, /line break inside text/],
    ["text without its quote", '[\n{"a": "x},\n{"a": "y"}]', 2, 11, /a missing quote before it/],
    ["a tab inside text", '{"a": "x\ty"}', 1, 9, /written \\t/],
    ["one object over several lines", '{\n  "a": 1\n}', 1, 2, /ends here/],
    ["prose", "Hello there.\n", 1, 1, /expected JSON, JSON Lines, CSV or Parquet/],
    ["an error far into a line", `[${padding}, ${padding}, oops]`, 1, 400_028, /found "oops"/],
    ["an error far into a file", `${padding}\n${padding}\n{"a" 1}`, 3, 6, /":" after/],
    ["an error after a byte order mark", "\ufeff{]", 1, 2, /expected a field's name/],
  ])("%s", async (_, text, line, column, message) => {
    const error = await failure(readText(text));
    expect(error).toMatchObject({
      code: "E_DATASET_SYNTAX",
      exitCode: 3,
      place: { file: "rows", line, column },
    });
    expect(error.message).toMatch(message);
  });

  test("with the text around it and a caret", async () => {
    const error = await failure(readText('{"a": 1}\n{"a":\t"\u202e\u009b", b}\n'));
    expect(error.details).toEqual(['{"a": "\\u202e\\u009b", b}', `${" ".repeat(22)}^`]);
  });

  test("one object over several lines gets the remedy", async () => {
    expect((await failure(readText("{\n}"))).hint).toMatch(/in one array: \[\{...\}, \{...\}\]/);
  });

  test.each([
    ["Latin-1", Buffer.from('[{"a": "\xe9"}]', "latin1"), 1, 9, /0xe9 is not UTF-8/],
    ["after U+FFFD", Buffer.from('{}\n{"\ufffdb": "\xff"}', "latin1"), 2, 3, /0xfd is not UTF-8/],
    ["a cut character", Buffer.from('{"a": "é').subarray(0, 8), 1, 8, /0xc3 is not UTF-8/],
    ["between rows", Buffer.from('[{"a": 1} \xff]', "latin1"), 1, 11, /0xff is not UTF-8/],
    ["NUL", Buffer.from('{"a": "x\0y"}'), 1, 9, /a NUL byte/],
    ["UTF-16", Buffer.from("\ufeff[1]", "utf16le"), 1, 1, /is UTF-16/],
    ["UTF-16, big-endian", Buffer.from("\ufeff[1]", "utf16le").swap16(), 1, 1, /is UTF-16/],
    ["UTF-16 without a mark", Buffer.from("[1]", "utf16le"), 1, 1, /looks like UTF-16/],
  ])("%s", async (_, bytes, line, column, message) => {
    const error = await failure(readText(bytes));
    expect(error).toMatchObject({ code: "E_DATASET_ENCODING", place: { line, column } });
    expect(error.message).toMatch(message);
  });

  test("U+FFFD itself is text like any other", async () => {
    expect(await readText('{"a":"\ufffd"}')).toMatchObject([{ value: { a: "\ufffd" } }]);
    const bytes = Buffer.concat([
      Buffer.from('{"a":"\ufffd\ufffd'),
      Buffer.from([0xff]),
      Buffer.from('"}'),
    ]);
    expect((await failure(readText(bytes))).place).toMatchObject({ column: 9 });
  });

  test("nesting: 1,000 deep is read, 1,001 is not", async () => {
    const nested = (depth: number) => `${"[".repeat(depth)}${"]".repeat(depth)}`;
    expect(await readText(`{"a":${nested(999)}}`)).toHaveLength(1);
    expect(await readText(`[${nested(1000)}]`)).toHaveLength(1);
    for (const text of [`{"a":${nested(1000)}}`, `[${nested(1001)}]`, `[${"[".repeat(2000)}`]) {
      expect((await failure(readText(text))).message).toMatch(/nested more than 1,000 deep/);
    }
  });

  test("a row that would take many times its bytes", async () => {
    const values = (count: number) => `{"a":[${"[],".repeat(count - 1)}[]]}`;
    expect(await readText(values(1_000_000))).toHaveLength(1);
    for (const text of [values(1_000_002), `[${values(1_000_002)}]`]) {
      expect((await failure(readText(text))).message).toMatch(/more than a million values/);
    }
  });

  test("a row of more than 64 MiB, and one that only seems so", () => {
    const chunk = Buffer.alloc(1024 * 1024, "x");
    const feed = (framer: ArrayFramer | LineFramer, start: string) => () => {
      framer.push(Buffer.from(start));
      for (let i = 0; i < 65; i++) framer.push(chunk);
    };
    expect(feed(new ArrayFramer(0), '["')).toThrow(/more than 64 MiB begins here/);
    expect(feed(new LineFramer(0), '{"')).toThrow(/more than 64 MiB begins here/);
    expect(feed(new ArrayFramer(0), '[{"a": "b}, \n"')).toThrow(/a missing quote before it/);
  });
});

describe("what is no file of rows", () => {
  test.each([
    ["an empty file", "", /is empty/],
    ["a blank file", " \n\r\n", /nothing but blanks/],
    ["a byte order mark alone", "\ufeff", /nothing but blanks/],
  ])("%s", async (_, text, message) => {
    const error = await failure(readText(text));
    expect(error).toMatchObject({ code: "E_DATASET_EMPTY", exitCode: 3 });
    expect(error.message).toMatch(message);
  });

  test("a missing file, with the one that was meant", async () => {
    writeFileSync(join(folder, "training.jsonl"), "{}");
    const error = await failure(readFile("trianing.jsonl"));
    expect(error).toMatchObject({ code: "E_DATASET_MISSING", exitCode: 2 });
    expect(error.hint).toMatch(/did you mean training.jsonl/);
    for (const path of ["training.jsonl/x", "\0", "x".repeat(300), "no/such/folder"]) {
      expect((await failure(readFile(path))).code).toBe("E_DATASET_MISSING");
    }
    const usual = await failure(readFile("data/sft/training_dataset.json"));
    expect(usual.hint).toMatch(/put your rows there/);
  });

  test("a folder, a FIFO and a device, without waiting for any", async () => {
    mkdirSync(join(folder, "dir"));
    execFileSync("mkfifo", [join(folder, "fifo")]);
    for (const path of ["dir", "fifo", "/dev/zero"]) {
      expect(await failure(readFile(path))).toMatchObject({
        code: "E_DATASET_NOT_A_FILE",
        exitCode: 2,
        place: { file: path },
      });
    }
  });

  test("a hostile file name is shown, not obeyed", async () => {
    const error = await failure(readFile("\u001b[2J\u202e.json"));
    expect(error.message).toContain("\\u001b[2J\\u202e.json");
  });

  test("a file that changes under the reader", async () => {
    writeFileSync(join(folder, "growing"), "{}\n");
    const source = await Source.open("growing", folder);
    await source.refuseChange();
    appendFileSync(join(folder, "growing"), "{}\n");
    expect((await failure(source.refuseChange())).code).toBe("E_DATASET_CHANGED");
    await source.close();
  });
});

test("the search for a syntax error agrees with JSON.parse, whatever is broken", () => {
  const sound = '{"a":[1,-2.5e+3,true,null,"x\\u00e9\\n\\""],"b":{"c":{},"d":[]} }';
  expect(findSyntaxProblem(sound)).toBeUndefined();
  for (let at = 0; at < sound.length; at++) {
    for (const instead of [
      "",
      '"',
      "{",
      "]",
      ",",
      ":",
      "\\",
      "0",
      ".",
      "e",
      " ",
      "\n",
      "\u0000",
      "é",
    ]) {
      const text = sound.slice(0, at) + instead + sound.slice(at + 1);
      expect(findSyntaxProblem(text) === undefined, text).toBe(isJson(text));
    }
  }
});

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
