import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { random } from "./labelled.ts";

// 300 hostile or odd datasets, each with the verdict that it deserves: what may be trained on ("ok"),
// what has errors in its rows or cannot be read (the codes of the rules, or of the error).

export interface Case {
  readonly name: string;
  readonly verdict: string;
  /** Writes the dataset into a folder and returns its path there. */
  readonly write: (folder: string) => string;
}

const row = (index: number) =>
  `{"prompt":"What is number ${index}?","completion":"It is ${index}, sir."}`;
const rows = (count = 60) => Array.from({ length: count }, (_, index) => row(index));
const lines = rows().join("\n");
const array = `[${rows().join(",")}]`;
const table = `prompt,completion\n${rows()
  .map((_, i) => `What is ${i}?,It is ${i}.`)
  .join("\n")}\n`;

let number = 0;
function file(name: string, verdict: string, content: string | Uint8Array, ending = "jsonl"): Case {
  number += 1;
  const path = `${number}.${ending}`;
  return {
    name: `${number} ${name}`,
    verdict,
    write(folder) {
      writeFileSync(join(folder, path), content);
      return path;
    },
  };
}

function folder(name: string, verdict: string, make: (at: string) => void): Case {
  number += 1;
  const path = `folder-${number}`;
  return {
    name: `${number} ${name}`,
    verdict,
    write(base) {
      mkdirSync(join(base, path));
      make(join(base, path));
      return path;
    },
  };
}

const put = (at: string, name: string, content: string | Uint8Array) => {
  mkdirSync(dirname(join(at, name)), { recursive: true });
  writeFileSync(join(at, name), content);
};

const latin = (text: string) => Buffer.from(text, "latin1");
const utf16 = (text: string) => Buffer.from(text, "utf16le");
const withRow = (text: string) => `${lines}\n${text}`;

/** Rows that are odd, as lines among sound ones. */
const oddRows: readonly (readonly [string, string, string])[] = [
  ["null", "not-an-object", "null"],
  ["true", "not-an-object", "true"],
  ["a number", "not-an-object", "1e999"],
  ["a list", "not-an-object", "[1,2]"],
  ["an empty object", "unknown-form", "{}"],
  [
    "__proto__",
    "ok",
    '{"__proto__":{"polluted":1},"prompt":"Who is it?","completion":"It is me."}',
  ],
  [
    "constructor",
    "ok",
    '{"constructor":{"prototype":{"polluted":1}},"prompt":"Who is that?","completion":"It is you."}',
  ],
  ["__proto__ as text", "ok", '{"prompt":"__proto__","completion":"constructor"}'],
  ["only __proto__", "unknown-form", '{"__proto__":{"prompt":"a","completion":"b"}}'],
  [
    "toString as a field",
    "ok",
    '{"toString":1,"hasOwnProperty":2,"prompt":"Say it now.","completion":"Now."}',
  ],
  ["an empty name", "ok", '{"":1,"prompt":"Say it then.","completion":"Then."}'],
  ["no completion", "missing-answer", '{"prompt":"Hello there?"}'],
  ["a null completion", "missing-answer", '{"prompt":"Hello here?","completion":null}'],
  ["an empty completion", "empty-answer", '{"prompt":"Hello?","completion":""}'],
  [
    "a blank completion",
    "empty-answer",
    '{"prompt":"Hello?","completion":"\\u00a0\\u2003\\u200b"}',
  ],
  ["a number for a completion", "answer-not-text", '{"prompt":"Hello?","completion":7}'],
  ["a list for a completion", "answer-not-text", '{"prompt":"Hello?","completion":["a"]}'],
  ["an empty prompt", "empty-prompt", '{"prompt":"","completion":"Hello."}'],
  ["a list for a prompt", "wrong-type", '{"prompt":["a"],"completion":"Hello."}'],
  ["both wrong", "answer-not-text,empty-prompt", '{"prompt":"","completion":false}'],
  [
    "a chat among them",
    "mixed-forms",
    '{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}',
  ],
  ["a trailing comma", "syntax", '{"prompt":"a","completion":"b",}'],
  ["single quotes", "syntax", "{'prompt':'a','completion':'b'}"],
  ["Python's None", "syntax", '{"prompt":"a","completion":None}'],
  ["NaN", "not-a-number", '{"prompt":"a","completion":"b","score":NaN}'],
  ["-Infinity", "not-a-number", '{"prompt":"a","completion":"b","score":-Infinity}'],
  ["a comment", "syntax", "// a comment"],
  ["half a row", "syntax", '{"prompt":"a","comp'],
  [
    "two rows on a line",
    "syntax",
    '{"prompt":"a","completion":"b"}{"prompt":"c","completion":"d"}',
  ],
  ["an unknown escape", "syntax", '{"prompt":"C:\\data","completion":"b"}'],
  ["a cut escape", "syntax", '{"prompt":"a","completion":"b\\u12"}'],
  ["a raw tab", "syntax", '{"prompt":"a\tb","completion":"b"}'],
  ["a NUL", "nul-byte", '{"prompt":"a\0","completion":"b"}'],
  ["a name twice", "duplicate-key", '{"prompt":"a","prompt":"b","completion":"What it is."}'],
  [
    "a name twice, escaped",
    "duplicate-key",
    '{"prompt":"a","pr\\u006fmpt":"b","completion":"What is it."}',
  ],
  [
    "a name twice, with blanks",
    "duplicate-key",
    '{"prompt" :"a","prompt":"b","completion":"What that is."}',
  ],
  [
    "nesting of 999",
    "ok",
    `{"prompt":"Deep?","completion":"Deep.","x":${"[".repeat(998)}${"]".repeat(998)}}`,
  ],
  [
    "nesting of 2,000",
    "too-deep",
    `{"prompt":"a","completion":"b","x":${"[".repeat(2000)}${"]".repeat(2000)}}`,
  ],
  ["nesting never closed", "too-deep", `{"prompt":"a","completion":"b","x":${"[".repeat(100_000)}`],
  ["objects of 5,000", "too-deep", `${'{"a":'.repeat(5000)}1${"}".repeat(5000)}`],
  [
    "two million values",
    "too-deep",
    `{"prompt":"a","completion":"b","x":[${"0,".repeat(2_000_000)}0]}`,
  ],
  [
    "an escape sequence",
    "ok",
    '{"prompt":"\\u001b]0;title\\u0007 x","completion":"\\u001b[2J yes."}',
  ],
  [
    "a line of 5 MB",
    "ok",
    `{"prompt":"Long?","completion":"${"All of it is here, sir. ".repeat(10)}${"x y z ".repeat(800_000)}end."}`,
  ],
  ["a lone surrogate", "ok", '{"prompt":"half \\ud83d","completion":"Yes it is."}'],
  ["every surrogate", "ok", '{"prompt":"\\udc00\\ud800\\ud800","completion":"No it is not."}'],
  ["U+FFFE and U+FFFF", "ok", '{"prompt":"\ufffe\uffff","completion":"It is what it is."}'],
  [
    "a regular expression's nightmare",
    "ok",
    `{"prompt":"${"a".repeat(30_000)}!","completion":"${"1 ".repeat(20_000)}"}`,
  ],
  ["thousands of fences", "ok", `{"prompt":"Fences?","completion":"${"```\\n".repeat(10_000)}"}`],
  ["thousands of digits", "ok", `{"prompt":"Digits?","completion":"${"4 ".repeat(50_000)}."}`],
  ["thousands of @", "ok", `{"prompt":"Ats?","completion":"${"a@".repeat(50_000)}."}`],
  ["thousands of dots", "ok", `{"prompt":"Dots?","completion":"${"1.".repeat(50_000)}"}`],
  ["thousands of <|", "ok", `{"prompt":"Angles?","completion":"${"<|".repeat(50_000)}."}`],
  [
    "thousands of keys",
    "ok",
    `{"prompt":"Keys?","completion":"Many.",${Array.from({ length: 20_000 }, (_, i) => `"k${i}":${i}`).join(",")}}`,
  ],
  ["thousands of ://", "ok", `{"prompt":"Links?","completion":"${"https://a:b".repeat(10_000)}."}`],
  [
    "thousands of BEGIN",
    "secret",
    `{"prompt":"Keys?","completion":"${"-----BEGIN RSA PRIVATE KEY-----\\nMIIE".repeat(2)} ${"MIIEpAIBAAKCAQEA7bq2xV9kLm".repeat(9)}\\n-----END RSA PRIVATE KEY-----"}`,
  ],
];

/** Whole files of encodings, syntax, shapes and archives. */
function files(): Case[] {
  const gzip = (text: string | Uint8Array) => gzipSync(text);
  const zstd = (text: string) => zstdCompressSync(Buffer.from(text));
  const chat = (messages: unknown) =>
    Array.from({ length: 60 }, (_, i) =>
      JSON.stringify(
        i === 30
          ? { messages }
          : {
              messages: [
                { role: "user", content: `What is ${i}?` },
                { role: "assistant", content: `It is ${i}.` },
              ],
            },
      ),
    ).join("\n");
  const says = { role: "user", content: "Hello?" };
  const answers = { role: "assistant", content: "Hello." };
  return [
    file("sound lines", "ok", lines),
    file("sound array", "ok", array, "json"),
    file("sound table", "ok", table, "csv"),
    file("nothing", "E_DATASET_EMPTY", ""),
    file("blanks", "E_DATASET_EMPTY", " \n\t\r\n"),
    file("a mark alone", "E_DATASET_EMPTY", "\ufeff"),
    file("an empty array", "E_DATASET_EMPTY", "[]", "json"),
    file("an empty array with blanks", "E_DATASET_EMPTY", " [ \n ] ", "json"),
    file("an empty object", "unknown-form", "{}", "json"),
    file("null", "E_DATASET_SYNTAX", "null", "json"),
    file("a text", "E_DATASET_SYNTAX", '"hello"', "json"),
    file("a number", "E_DATASET_SYNTAX", "42", "json"),
    file("a word", "E_DATASET_SYNTAX", "hello"),
    file(
      "prose",
      "unknown-form",
      "Dear reader.\nThis is a story without any rows at all.\n",
      "txt",
    ),
    file("HTML", "E_DATASET_SYNTAX", "<!doctype html><html><body>Sign in</body></html>", "json"),
    file("YAML", "E_DATASET_SYNTAX", "- prompt: a\n  completion: b\n", "yaml"),
    file("a zip", "E_DATASET_SYNTAX", latin("PK\x03\x04\x14\0\0\0"), "json"),
    file("a PDF", "E_DATASET_SYNTAX", latin("%PDF-1.7\n%\xe2\xe3"), "json"),
    file("a PNG", "E_DATASET_SYNTAX", latin("\x89PNG\r\n\x1a\n\0\0\0"), "jsonl"),
    file("an ELF", "E_DATASET_SYNTAX", latin("\x7fELF\x02\x01\x01\0\0\0\0\0"), "jsonl"),
    file("SQLite", "E_DATASET_SYNTAX", latin("SQLite format 3\0\x10\0"), "jsonl"),
    file("Arrow", "E_DATASET_SYNTAX", latin("ARROW1\0\0"), "arrow"),
    file("bzip2", "E_DATASET_SYNTAX", latin("BZh91AY&SY"), "jsonl"),
    file("xz", "E_DATASET_SYNTAX", latin("\xfd7zXZ\0\0\x04"), "jsonl"),
    file(
      "tar",
      "E_DATASET_SYNTAX",
      Buffer.concat([Buffer.alloc(257), Buffer.from("ustar\x0000"), Buffer.alloc(248)]),
      "jsonl",
    ),
    file("UTF-16, little", "E_DATASET_ENCODING", utf16(`\ufeff${lines}`)),
    file("UTF-16, big", "E_DATASET_ENCODING", utf16(`\ufeff${lines}`).swap16()),
    file("UTF-16 without a mark", "E_DATASET_ENCODING", utf16(lines)),
    file("UTF-32", "E_DATASET_ENCODING", Buffer.from([0xff, 0xfe, 0, 0, 0x7b, 0, 0, 0])),
    file("a mark", "ok", `\ufeff${lines}`),
    file("a mark before an array", "ok", `\ufeff${array}`, "json"),
    file("two marks", "syntax", `\ufeff${lines.replace("\n", "\n\ufeff")}`),
    file(
      "Latin-1",
      "encoding",
      Buffer.concat([Buffer.from(`${lines}\n`), latin('{"prompt":"caf\xe9","completion":"Yes."}')]),
    ),
    file(
      "Latin-1 in an array",
      "encoding",
      Buffer.concat([
        Buffer.from(array.slice(0, -1)),
        latin(',{"prompt":"caf\xe9","completion":"Yes."}]'),
      ]),
      "json",
    ),
    file(
      "a cut character",
      "encoding",
      Buffer.concat([Buffer.from(`${lines}\n{"prompt":"a`), Buffer.from([0xe2, 0x82])]),
    ),
    file(
      "an overlong character",
      "encoding",
      Buffer.concat([
        Buffer.from(`${lines}\n{"prompt":"`),
        Buffer.from([0xc0, 0xaf]),
        Buffer.from('","completion":"Yes."}'),
      ]),
    ),
    file(
      "a coded surrogate",
      "encoding",
      Buffer.concat([
        Buffer.from(`${lines}\n{"prompt":"`),
        Buffer.from([0xed, 0xa0, 0x80]),
        Buffer.from('","completion":"Yes."}'),
      ]),
    ),
    file("CRLF", "ok", lines.replaceAll("\n", "\r\n")),
    file("blank lines", "ok", lines.replaceAll("\n", "\n\n \n")),
    file("CR alone", "syntax", lines.replaceAll("\n", "\r")),
    file("record separators", "syntax", lines.replaceAll("\n", "\n\u001e")),
    file("lines in .json", "ok", lines, "json"),
    file("an array in .jsonl", "ok", array, "jsonl"),
    file("a table in .json", "ok", table, "json"),
    file("lines in .csv", "ok", lines, "csv"),
    file("lines in .parquet", "ok", lines, "parquet"),
    file("lines in .gz", "ok", lines, "jsonl.gz"),
    file("an array never closed", "unreadable", array.slice(0, -1), "json"),
    file("an array closed twice", "unreadable", `${array}]`, "json"),
    file("an array with a comma too many", "unreadable", `${array.slice(0, -1)},]`, "json"),
    file("an array without a comma", "unreadable", array.replace("},{", "} {"), "json"),
    file("two arrays", "unreadable", `${array}\n${array}`, "json"),
    file("an array in an array", "not-an-object", `[${array}]`, "json"),
    file("a comma first", "unreadable", `[,${array.slice(1)}`, "json"),
    file("an array of quotes", "syntax", `["${"x".repeat(1000)}`, "json"),
    file("nesting in an array", "unreadable", `[${"[".repeat(50_000)}`, "json"),
    file("an object over lines", "syntax", JSON.stringify(JSON.parse(row(1)), null, 2), "json"),
    file("one object", "ok", row(1), "json"),
    file("wrapped", "ok", `{"data":${array}}`, "json"),
    file(
      "wrapped, with a version",
      "ok",
      `{"version":"1.0","meta":{"a":[1,2]},"data":${array}}`,
      "json",
    ),
    file("splits", "ok", `{"train":${array},"test":[${row(99)},${row(98)}]}`, "json"),
    file(
      "wrapped, over lines",
      "ok",
      JSON.stringify({ rows: JSON.parse(array) as unknown }, null, 2),
      "json",
    ),
    file("wrapped and cut off", "unreadable", `{"data":${array}`, "json"),
    file("wrapped, and more behind", "unreadable-or-syntax", `{"data":${array}} x`, "json"),
    file("wrapped in two", "not-an-object-or-unknown", `{"data":{"rows":${array}}}`, "json"),
    file("gzip", "ok", gzip(lines), "jsonl.gz"),
    file("gzip, named .jsonl", "ok", gzip(lines), "jsonl"),
    file(
      "gzip in two members",
      "ok",
      Buffer.concat([gzip(`${lines}\n`), gzip(row(99))]),
      "jsonl.gz",
    ),
    file("gzip of a table", "ok", gzip(table), "csv.gz"),
    file("gzip of an array", "ok", gzip(array), "json.gz"),
    file("zstd", "ok", zstd(lines), "jsonl.zst"),
    file("zstd, named .gz", "ok", zstd(lines), "jsonl.gz"),
    file("gzip of nothing", "E_DATASET_EMPTY", gzip(""), "jsonl.gz"),
    file(
      "gzip cut off",
      "E_DATASET_ARCHIVE-or-unreadable",
      gzip(lines).subarray(0, 90),
      "jsonl.gz",
    ),
    file(
      "gzip, its head alone",
      "E_DATASET_ARCHIVE-or-unreadable",
      gzip(lines).subarray(0, 4),
      "jsonl.gz",
    ),
    file(
      "gzip, broken inside",
      "E_DATASET_ARCHIVE-or-unreadable",
      (() => {
        const bytes = gzip(lines);
        bytes[30]! ^= 255;
        return bytes;
      })(),
      "jsonl.gz",
    ),
    file(
      "gzip with a wrong sum",
      "E_DATASET_ARCHIVE-or-unreadable",
      (() => {
        const bytes = gzip(lines);
        bytes[bytes.length - 6]! ^= 255;
        return bytes;
      })(),
      "jsonl.gz",
    ),
    file("gzip of gzip", "E_DATASET_ARCHIVE", gzip(gzip(lines)), "jsonl.gz.gz"),
    file("zstd of gzip", "E_DATASET_ARCHIVE", zstdCompressSync(gzip(lines)), "jsonl.gz.zst"),
    file(
      "zstd cut off",
      "E_DATASET_ARCHIVE-or-unreadable",
      zstd(lines).subarray(0, 40),
      "jsonl.zst",
    ),
    file(
      "a gzip bomb of blanks",
      "E_DATASET_ARCHIVE",
      gzip(Buffer.alloc(150_000_000, 32)),
      "jsonl.gz",
    ),
    file(
      "a gzip bomb in a row",
      "E_DATASET_ARCHIVE-or-unreadable",
      gzip(Buffer.concat([Buffer.from('{"prompt":"'), Buffer.alloc(90_000_000, 97)])),
      "jsonl.gz",
    ),
    file(
      "a zstd bomb",
      "E_DATASET_ARCHIVE",
      zstdCompressSync(Buffer.alloc(150_000_000, 10)),
      "jsonl.zst",
    ),
    file("Parquet, its name alone", "unreadable", "PAR1", "parquet"),
    file("Parquet, twice its name", "unreadable", "PAR1PAR1", "parquet"),
    file("Parquet with a huge footer", "unreadable", latin("PAR1\xff\xff\xff\x7fPAR1"), "parquet"),
    file(
      "Parquet, noise",
      "unreadable",
      Buffer.concat([
        Buffer.from("PAR1"),
        Buffer.from(Array.from({ length: 500 }, (_, i) => (i * 37) % 256)),
        latin("\xf0\x01\0\0PAR1"),
      ]),
      "parquet",
    ),
    file("a table, names alone", "E_DATASET_EMPTY", "prompt,completion\n", "csv"),
    file("a table, semicolons", "ok", table.replaceAll(",", ";"), "csv"),
    file("a table, tabs", "ok", table.replaceAll(",", "\t"), "tsv"),
    file("a table with a mark", "ok", `\ufeff${table}`, "csv"),
    file("a table, CRLF", "ok", table.replaceAll("\n", "\r\n"), "csv"),
    file("a table, quoted", "ok", table.replace(/^(.*\?),(.*)$/gm, '"$1","$2"'), "csv"),
    file("a table with lines in cells", "ok", `${table}"two\nlines","an ""answer"", sir"\n`, "csv"),
    file("a table, a row too long", "ragged-row", `${table}a,b,c\n`, "csv"),
    file("a table, a row too short", "ragged-row", `${table}a\n`, "csv"),
    file("a table, an empty cell", "empty-answer", `${table}Why now?,\n`, "csv"),
    file("a table, a quote never closed", "unreadable", `${table}"a,b\n`, "csv"),
    file(
      "a table, two equal names",
      "unreadable",
      table.replace("prompt,completion", "prompt,prompt"),
      "csv",
    ),
    file(
      "a table, unknown names",
      "unknown-form",
      table.replace("prompt,completion", "foo,bar"),
      "csv",
    ),
    file(
      "a table, other names",
      "ok",
      table.replace("prompt,completion", "Question,Answer"),
      "csv",
    ),
    file("a table, NA is text", "ok", `${table}What is sodium?,NA\n`, "csv"),
    file("a table in Latin-1", "unreadable", latin(`${table}caf\xe9?,yes\n`), "csv"),
    file("a table with a NUL", "unreadable", `${table}a\0b,yes\n`, "csv"),
    file(
      "a table of one column",
      "ok",
      `text\n${rows()
        .map((_, i) => `This is text number ${i} of them.`)
        .join("\n")}\n`,
      "csv",
    ),
    file(
      "a table with a formula",
      "ok",
      `${table}=cmd|' /C calc'!A0,It is no formula here.\n`,
      "csv",
    ),
    file(
      "a table with __proto__",
      "ok",
      table
        .replaceAll(/^(.*)$/gm, "$1,x")
        .replace("completion,x", "completion,__proto__")
        .replace(/\n,x$/, "\n"),
      "csv",
    ),
    file("no messages", "no-assistant", chat([])),
    file("messages null", "missing-or-unknown", chat(null)),
    file("messages an object", "wrong-type", chat({ role: "user" })),
    file("a system message alone", "no-assistant", chat([{ role: "system", content: "Be kind." }])),
    file("an unknown role", "unknown-role", chat([{ role: "robot", content: "Hi." }, answers])),
    file("a role in capitals", "unknown-role", chat([{ role: "User", content: "Hi." }, answers])),
    file("no role", "missing-field", chat([{ content: "Hi." }, answers])),
    file("a role that is no text", "wrong-type", chat([{ role: 1, content: "Hi." }, answers])),
    file("an empty answer", "empty-answer", chat([says, { role: "assistant", content: "" }])),
    file("a null answer", "missing-answer", chat([says, { role: "assistant", content: null }])),
    file(
      "two empty answers",
      "empty-answer",
      chat([says, { role: "assistant", content: "" }, says, { role: "assistant", content: " " }]),
    ),
    file(
      "the developer speaks",
      "ok",
      chat([{ role: "developer", content: "Be kind." }, says, answers]),
    ),
    file(
      "content parts",
      "ok",
      chat([
        {
          role: "user",
          content: [
            { type: "text", text: "Hello " },
            { type: "text", text: "there?" },
          ],
        },
        answers,
      ]),
    ),
    file(
      "an image",
      "unsupported",
      chat([
        { role: "user", content: [{ type: "image_url", image_url: { url: "data:" } }] },
        answers,
      ]),
    ),
    file(
      "a part that is null",
      "wrong-type-or-unsupported",
      chat([{ role: "user", content: [null] }, answers]),
    ),
    file(
      "weights",
      "ok",
      chat([
        says,
        { ...answers, weight: 0 },
        { role: "user", content: "And?" },
        { ...answers, weight: 1 },
      ]),
    ),
    file("a weight of a half", "wrong-value", chat([says, { ...answers, weight: 0.5 }])),
    file("all weights 0", "no-assistant", chat([says, { ...answers, weight: 0 }])),
    file(
      "a tool's turns",
      "ok",
      chat([
        says,
        {
          role: "assistant",
          tool_calls: [{ id: "a", type: "function", function: { name: "f", arguments: "{}" } }],
        },
        { role: "tool", tool_call_id: "a", content: "1" },
        answers,
      ]),
    ),
    file(
      "arguments that are no JSON",
      "tool-call",
      chat([
        says,
        {
          role: "assistant",
          tool_calls: [{ id: "a", type: "function", function: { name: "f", arguments: "{" } }],
        },
      ]),
    ),
    file(
      "a call without a name",
      "tool-call",
      chat([
        says,
        {
          role: "assistant",
          tool_calls: [{ id: "a", type: "function", function: { arguments: "{}" } }],
        },
      ]),
    ),
    file(
      "a result before a call",
      "tool-call",
      chat([says, { role: "tool", tool_call_id: "a", content: "1" }, answers]),
    ),
    file(
      "a function call of 2023",
      "unsupported",
      chat([
        says,
        { role: "assistant", content: null, function_call: { name: "f", arguments: "{}" } },
      ]),
    ),
    file(
      "ShareGPT",
      "ok",
      rows()
        .map((_, i) =>
          JSON.stringify({
            conversations: [
              { from: "human", value: `What is ${i}?` },
              { from: "gpt", value: `It is ${i}.` },
            ],
          }),
        )
        .join("\n"),
    ),
    file(
      "ShareGPT, an unknown speaker",
      "unknown-role",
      rows()
        .map((_, i) =>
          JSON.stringify({
            conversations: [
              { from: i === 9 ? "alien" : "human", value: `What is ${i}?` },
              { from: "gpt", value: `It is ${i}.` },
            ],
          }),
        )
        .join("\n"),
    ),
    file(
      "ShareGPT, an empty answer",
      "empty-answer",
      rows()
        .map((_, i) =>
          JSON.stringify({
            conversations: [
              { from: "human", value: `What is ${i}?` },
              { from: "gpt", value: i === 9 ? "" : `It is ${i}.` },
            ],
          }),
        )
        .join("\n"),
    ),
    file(
      "OpenAI's preferences",
      "ok",
      rows()
        .map((_, i) =>
          JSON.stringify({
            input: { messages: [{ role: "user", content: `What is ${i}?` }] },
            preferred_output: [{ role: "assistant", content: `It is ${i}.` }],
            non_preferred_output: [{ role: "assistant", content: "No idea." }],
          }),
        )
        .join("\n"),
    ),
    file(
      "a preference without one",
      "conflicting-fields",
      rows()
        .map((_, i) =>
          JSON.stringify({
            prompt: `What is ${i}?`,
            chosen: `It is ${i}.`,
            rejected: i === 9 ? "It is 9." : "No idea.",
          }),
        )
        .join("\n"),
    ),
    file(
      "half of each form",
      "mixed-forms",
      [
        ...rows(40),
        ...Array.from({ length: 20 }, (_, i) => JSON.stringify({ text: `This is text ${i}.` })),
      ].join("\n"),
    ),
    file("the first row is another form", "mixed-forms", `{"text":"This is one."}\n${lines}`),
    file("a name full of escapes", "ok", lines, "\u001b[31m\u202e\u009b.jsonl"),
    folder("sorted files", "ok", (at) => {
      put(at, "b.jsonl", lines.replaceAll("number", "figure"));
      put(at, "a/c.json", array);
    }),
    folder("hidden files", "ok", (at) => {
      put(at, "a.jsonl", lines);
      put(at, ".hidden.jsonl", "{");
      put(at, ".git/x.jsonl", "{");
    }),
    folder("other files", "ok", (at) => {
      put(at, "a.jsonl", lines);
      put(at, "README.md", "# Hi");
      put(at, "x.png", "x");
    }),
    folder("nothing", "E_DATASET_EMPTY", () => {}),
    folder("hidden files alone", "E_DATASET_EMPTY", (at) => put(at, ".a.jsonl", lines)),
    folder("a link out", "ok", (at) => {
      put(at, "a.jsonl", lines);
      symlinkSync("/etc/passwd", join(at, "b.jsonl"));
    }),
    folder("a link to the parent", "ok", (at) => {
      put(at, "a.jsonl", lines);
      symlinkSync("..", join(at, "up"));
    }),
    folder("a link to itself", "ok", (at) => {
      put(at, "a.jsonl", lines);
      symlinkSync(".", join(at, "self"));
    }),
    folder("a link in a circle", "ok", (at) => {
      put(at, "a.jsonl", lines);
      symlinkSync("loop", join(at, "loop"));
    }),
    folder("a link inside", "ok", (at) => {
      put(at, "a.jsonl", lines);
      symlinkSync("a.jsonl", join(at, "b.jsonl"));
    }),
    folder("a broken link", "ok", (at) => {
      put(at, "a.jsonl", lines);
      symlinkSync("none", join(at, "b.jsonl"));
    }),
    folder("two forms", "mixed-files", (at) => {
      put(at, "a.jsonl", lines);
      put(at, "b.jsonl", '{"text":"This is one."}\n{"text":"This is two."}');
    }),
    folder("a broken file among sound ones", "unreadable", (at) => {
      put(at, "a.jsonl", lines);
      put(at, "b.json", '[{"prompt":"a","completion":"b"}');
    }),
    folder("a folder of depth 60", "ok", (at) => {
      put(at, "a.jsonl", lines);
      put(at, `${"d/".repeat(60)}x.jsonl`, row(99));
    }),
    { name: "no file", verdict: "E_DATASET_MISSING", write: () => "none.jsonl" },
    { name: "no file, NUL in its name", verdict: "E_DATASET_MISSING", write: () => "a\0b" },
    { name: "a device", verdict: "E_DATASET_NOT_A_FILE", write: () => "/dev/zero" },
    { name: "a terminal", verdict: "E_DATASET_NOT_A_FILE", write: () => "/dev/null" },
  ];
}

/** Sound files with random damage: any verdict, as long as there is one. */
function damaged(count: number): Case[] {
  const next = random(5);
  const sources: readonly (readonly [string, Uint8Array])[] = [
    ["jsonl", Buffer.from(lines)],
    ["json", Buffer.from(array)],
    ["csv", Buffer.from(table)],
    ["jsonl.gz", gzipSync(lines)],
    ["jsonl.zst", zstdCompressSync(Buffer.from(lines))],
  ];
  return Array.from({ length: count }, (_, index) => {
    const [ending, sound] = sources[index % sources.length]!;
    const bytes = Buffer.from(sound);
    const damage = 1 + Math.floor(next() * 5);
    for (let time = 0; time < damage; time++)
      bytes[Math.floor(next() * bytes.length)] = Math.floor(next() * 256);
    const cut = next() < 0.3 ? Math.floor(next() * bytes.length) : bytes.length;
    return file(`damaged ${ending}`, "any", bytes.subarray(0, cut), ending);
  });
}

export function hostileCases(): Case[] {
  number = 0;
  const odd = oddRows.map(([name, verdict, text]) => file(name, verdict, withRow(text)));
  // Two of the bounds are the array's, whose end depends on them: the rest of the file is lost.
  const inArrays = oddRows
    .filter(
      ([name, verdict]) =>
        ["not-an-object", "unknown-form", "ok", "missing-answer"].includes(verdict) &&
        !/5 MB|thousands|nightmare/.test(name),
    )
    .map(([name, verdict, text]) =>
      file(`${name}, in an array`, verdict, `${array.slice(0, -1)},${text}]`, "json"),
    );
  const whole = [...odd, ...inArrays, ...files()];
  return [...whole, ...damaged(Math.max(0, 300 - whole.length))];
}
