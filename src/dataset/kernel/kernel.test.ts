import { expect, test } from "vitest";
import { levelsOf } from "../rules/catalog.ts";
import { findInText } from "../rules/content.ts";
import type { PartResult } from "../rules/part.ts";
import { RowChecker } from "../rules/row-checker.ts";
import { Kernel, seen } from "./kernel.ts";

// Rows that the kernel reads must be judged as they are when JSON.parse reads them.

/** Numbers from 0 to 1 (mulberry32): the same rows each time. */
function random(seed: number) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

const next = random(20261128);
const pick = <T>(of: readonly T[]): T => of[Math.floor(next() * of.length)]!;

const pieces = [
  ..."the house stands near a river and we see it from afar Every morning".split(" "),
  ...[
    "a",
    "I",
    ",",
    ".",
    "\n",
    "\t",
    "  ",
    "\r\n",
    "é",
    "naïve",
    "中文字",
    "日本語",
    "한국",
    "😀",
    "ﬁ",
  ],
  ...["sorry", "I'm sorry, but I can't", "As an AI language model,", "unfortunately I cannot help"],
  ...["```", "```js\nx\n```", "~~~", "`x`", "a-b", "well-known", "https://example.org/a", "-----"],
  ...[
    "-----BEGIN RSA PRIVATE KEY-----",
    "ghp_a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8",
    "AKIAIOSFODNN7ABCDEFG",
  ],
  ...[
    "anna.meier@gmail.com",
    "@scope/name",
    "user @ home",
    "+49 30 1234567",
    "(030) 123 4567 89",
    "4111 1111 1111 1111",
  ],
  ...[
    "1",
    "42",
    "2026-11-28",
    "192.0.2.1",
    "8.8.8.8",
    "1.2.3.4.5.6.7",
    "DE89 3704 0044 0532 0130 00",
  ],
  ...[
    "<|im_end|>",
    "<|",
    "<p>",
    "</s>",
    "<s>",
    "[INST]",
    "[/INST]",
    "[link](x)",
    "<start_of_turn>",
    "<<SYS>>",
    "<｜end｜>",
  ],
  ...[
    "\u200b",
    "\u202e",
    "\ufeff",
    "\u00ad",
    "\u0000",
    "\u001b[31m",
    "\u007f",
    "\u0085",
    "\u{e0041}",
    "\u180e",
    "\u2064",
    "\u2066",
  ],
  ...[
    "supercalifragilisticexpialidocious",
    "a_b-c/d+e_f-g/h+i_j-k",
    "x".repeat(150),
    "again and again and again ".repeat(20),
  ],
  ...["’", "“quoted”", "…", "–", "\u2028", "\u3000", "\ufffd", "\\", '"', "/"],
];

function text(most: number): string {
  const glue = pick([" ", " ", " ", "", "\n"]);
  return Array.from({ length: Math.floor(next() * most) }, () => pick(pieces)).join(glue);
}

const roles = ["system", "developer", "user", "assistant"];

/** As writers of JSON differ: blanks, escapes, the order of the fields. */
function written(value: { role: string; content: string }[]): string {
  const blank = () => pick(["", "", " ", "\t", " \r "]);
  const escapes = pick(["none", "all", "upper"]);
  const string = (each: string) => {
    const plain = JSON.stringify(each);
    if (escapes === "none") return plain.replace(/\//g, pick(["/", "\\/"]));
    return plain.replace(/[\u0080-\uffff]/g, (unit) => {
      const code = unit.charCodeAt(0).toString(16).padStart(4, "0");
      return `\\u${escapes === "all" ? code : code.toUpperCase()}`;
    });
  };
  const messages = value.map(({ role, content }) => {
    const fields = [
      `"role"${blank()}:${blank()}"${role}"`,
      `"content"${blank()}:${blank()}${string(content)}`,
    ];
    if (next() < 0.3) fields.reverse();
    return `${blank()}{${blank()}${fields.join(`${blank()},${blank()}`)}${blank()}}${blank()}`;
  });
  return `${blank()}{${blank()}"messages"${blank()}:${blank()}[${messages.join(",")}]${blank()}}${blank()}`;
}

const rows = Array.from({ length: 3000 }, () => {
  const count = 1 + Math.floor(next() * 4);
  const messages = Array.from({ length: count }, () => ({ role: pick(roles), content: text(60) }));
  messages.push({ role: "assistant", content: `${text(30)} yes` });
  if (next() < 0.1) messages.push({ role: "user", content: "and?" });
  return written(messages);
});

const settings = (container: "lines" | "array") => ({
  form: { kind: "chat", field: "messages" } as const,
  container,
  levels: levelsOf({}),
  maxPlaces: Infinity,
  splitKeys: true,
});
const parcelOf = (lines: readonly string[]) => {
  const bytes = new Uint8Array(Buffer.from(lines.map((line) => `${line}\n`).join("")));
  return { bytes, size: bytes.length, offset: 0 };
};
/** What rows are compared by, and what was found; lines aside. */
function judged(part: PartResult) {
  const { rows: count, identities, prompts, sketches, splitKeys, bad, answers, prefixes } = part;
  const { promptLengths, answerLengths, turns, counts, places } = part;
  return {
    ...{ count, bad, answers, turns, prefixes, promptLengths, answerLengths, counts },
    places: [...places].map(([code, all]) => [
      code,
      all.map(({ row, field, detail }) => [row, field, detail]),
    ]),
    identities: identities.subarray(0, count),
    prompts: prompts.subarray(0, count),
    sketches: sketches.subarray(0, 64 * count),
    splitKeys: splitKeys!.subarray(0, count),
  };
}

test("the kernel reads what it is for", () => {
  const kernel = new Kernel();
  let read = 0;
  for (const row of rows) {
    kernel.load(Buffer.from(`${row}\n`));
    const messages = kernel.readChat(0, false);
    if (messages === -1) continue;
    read += 1;
    const parsed = JSON.parse(row) as { messages: { role: string; content: string }[] };
    expect(Array.from({ length: messages }, (_, at) => kernel.text(at))).toEqual(
      parsed.messages.map(({ content }) => content),
    );
  }
  // A few have a blank answer, which it leaves to the rules.
  expect(read).toBeGreaterThan(2900);
});

test("rows are judged as JSON.parse has them", () => {
  for (let from = 0; from < rows.length; from += 100) {
    const some = rows.slice(from, from + 100);
    const own = judged(new RowChecker(settings("lines")).checkParcel(parcelOf(some)));
    const values = some.map((row, index) => {
      return { value: JSON.parse(row) as unknown, row: index + 1, line: index };
    });
    const plain = judged(new RowChecker(settings("lines")).checkRows(values));
    expect(own).toEqual(plain);
  }
});

test("what is not flagged is nothing", () => {
  const kernel = new Kernel();
  const all = Object.values(seen).reduce((flags, bit) => flags | bit, 0);
  for (let count = 0; count < 5000; count++) {
    const said = text(count % 80);
    const scanned = { ...kernel.scan(said, { sketched: true, answer: true }) };
    const found = (flags: number) => {
      const codes: (string | undefined)[][] = [];
      findInText(said, { ...scanned, flags }, true, (code, detail) => codes.push([code, detail]));
      return codes.filter(([code, detail]) => code !== "control-character" || detail !== undefined);
    };
    expect(found(scanned.flags), JSON.stringify(said)).toEqual(found(all));
    expect(scanned.length).toBe(said.length);
  }
});

test.each([
  ["a field twice", '{"messages":[{"role":"user","role":"user","content":"a"}]}'],
  ["another field", '{"messages":[{"role":"user","content":"a","name":"b"}]}'],
  ["an escaped name", '{"m\\u0065ssages":[{"role":"assistant","content":"a"}]}'],
  ["no answer", '{"messages":[{"role":"user","content":"a"}]}'],
  ["a blank answer", '{"messages":[{"role":"assistant","content":" \\n\\u3000"}]}'],
  ["no content", '{"messages":[{"role":"assistant"}]}'],
  ["another role", '{"messages":[{"role":"tool","content":"a"}]}'],
  ["half a pair", '{"messages":[{"role":"assistant","content":"a\\ud83d"}]}'],
  ["halves in the wrong order", '{"messages":[{"role":"assistant","content":"a\\ude00\\ud83d"}]}'],
  ["an unknown escape", '{"messages":[{"role":"assistant","content":"a\\x41"}]}'],
  ["a raw control character", '{"messages":[{"role":"assistant","content":"a\u0001"}]}'],
  ["a comma too many", '{"messages":[{"role":"assistant","content":"a"},]}'],
  ["a comma too many behind", '{"messages":[{"role":"assistant","content":"a"}],}'],
  ["an end too early", '{"messages":[{"role":"assistant","content":"a"'],
  ["a text without an end", '{"messages":[{"role":"assistant","content":"a'],
  ["a row too long", `{"messages":[{"role":"assistant","content":"${"a".repeat(1 << 17)}"}]}`],
  [
    "messages too many",
    `{"messages":[${'{"role":"user","content":"a"},'.repeat(1024)}{"role":"assistant","content":"a"}]}`,
  ],
])("%s is left to JSON.parse", (_, row) => {
  const kernel = new Kernel();
  kernel.load(Buffer.from(`${row}\n`));
  const messages = kernel.readChat(0, false);
  // Behind a row that ends early stands its line feed, or not.
  expect(messages === -1 || kernel.end !== Buffer.byteLength(row)).toBe(true);
});

test("a row over several lines is one only where rows were cut out before", () => {
  const kernel = new Kernel();
  const row = '{"messages": [\n{"role": "assistant", "content": "a"}\n]}';
  kernel.load(Buffer.from(`${row}\n`));
  expect(kernel.readChat(0, false)).toBe(-1);
  expect(kernel.readChat(0, true)).toBe(1);
});

test("rows in an array are judged alike", () => {
  const some = rows.slice(0, 200);
  const parcel = parcelOf(some);
  let at = 0;
  const ends = Uint32Array.from(some, (row) => (at += Buffer.byteLength(row) + 1) - 1);
  const cut = {
    ends,
    lines: ends.map((_, index) => index),
    offsets: new Float64Array(some.length),
  };
  const own = judged(new RowChecker(settings("array")).checkParcel({ ...parcel, rows: cut }));
  expect(own).toEqual(judged(new RowChecker(settings("lines")).checkParcel(parcel)));
});

test("long texts are read in pieces", () => {
  const kernel = new Kernel();
  const long = "word ".repeat(100_000);
  const { length, flags } = kernel.scan(`${long}a`, { sketched: true, answer: true });
  expect([length, flags & seen.openEnd]).toEqual([500_001, seen.openEnd]);
  expect(kernel.scan(`${long}.`, { sketched: true, answer: true }).flags & seen.openEnd).toBe(0);
});

test.each(["AKIAIOSFODNN7ABCDEFG", "<|im_end|>", "anna.meier@gmail.com", "\u{e0041}"])(
  "%s is seen where a piece ends in it",
  (said) => {
    const kernel = new Kernel();
    const long = `${"word ".repeat(30_000).slice(0, (1 << 17) - said.length / 2 - 1)} ${said} yes.`;
    const codes = new Set<string>();
    const scanned = kernel.scan(long, { sketched: true, answer: true });
    findInText(long, scanned, true, (code) => codes.add(code));
    expect([...codes]).toContainEqual(
      expect.stringMatching(/^(?:secret|special-token|personal-data|zero-width)$/),
    );
  },
);
