// A clean file of 10,000 chat rows, and what plants each rule in it. All of it is made from a seed.

const vocabulary = [
  ..."invoice order parcel refund account password address delivery courier label receipt voucher".split(
    " ",
  ),
  ..."basket payment card shipping warehouse return exchange warranty repair engineer battery".split(
    " ",
  ),
  ..."charger screen keyboard speaker camera printer router cable adapter bracket drawer handle".split(
    " ",
  ),
  ..."window carpet curtain pillow blanket mattress cushion lamp mirror shelf table chair stool".split(
    " ",
  ),
  ..."green blue yellow purple orange silver golden wooden plastic metal cotton linen woollen".split(
    " ",
  ),
  ..."monday tuesday wednesday thursday friday saturday sunday morning evening weekend season".split(
    " ",
  ),
];

/** Numbers from 0 to 1, the same ones for the same seed (mulberry32). */
export function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

export interface Row {
  messages: { role: string; content: string; [more: string]: unknown }[];
  [more: string]: unknown;
}

/** What is clean and looks as if it were not: each appears in many rows. */
const decoys = [
  "The checksum is 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0bd4f1f2b9a7e6c5d4e3f2 for that file.",
  "The id 123e4567-e89b-42d3-a456-426614174000 names the parcel.",
  "See sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg== there.",
  "The docs use AKIAIOSFODNN7EXAMPLE as a key.",
  "Connect with postgres://user:password@localhost:5432/shop while testing.",
  "Write to support@example.com about it.",
  "Version 10.2.14.3 is old and 192.168.1.20 is the printer.",
  "The test card 4242 4242 4242 4242 is nobody's.",
  "Use `npm install` and then:\n\n```sh\nnpm test\n```\n\nThat is all.",
  "In short: café, naïve, 日本語 and 👩‍👩‍👧 are fine.",
  "The generic type is Map<string, number> and x <s>was</s> struck out.",
  "I'm sorry to hear that, and we will send another one.",
  "It costs $1,234.50 since 2024-05-17 14:30:00, order 00012345678.",
];

export function cleanRows(count = 10_000, seed = 7): Row[] {
  const next = random(seed);
  const word = () => vocabulary[Math.floor(next() * vocabulary.length)]!;
  const sentence = () => {
    const words = Array.from({ length: 7 + Math.floor(next() * 8) }, word).join(" ");
    return `${words[0]!.toUpperCase()}${words.slice(1)}.`;
  };
  return Array.from({ length: count }, (_, index) => {
    const answer = Array.from({ length: 3 + Math.floor(next() * 3) }, sentence);
    if (index % 9 === 0) answer.splice(1, 0, decoys[(index / 9) % decoys.length]!);
    return {
      messages: [
        { role: "user", content: `${sentence()} ${sentence()}` },
        { role: "assistant", content: answer.join(" ").replace(/ (```|In)/g, "\n$1") },
      ],
    };
  });
}

/** One rule, and a row that breaks it and no other: made from a clean one, as its line of JSON. */
export interface Plant {
  readonly code: string;
  readonly name: string;
  readonly line: (row: Row) => string;
}

const say = (row: Row, change: (text: string) => string, turn = 1): string => {
  row.messages[turn]!.content = change(row.messages[turn]!.content);
  return JSON.stringify(row);
};
const insert = (text: string) => (row: Row) => say(row, (answer) => `${answer} ${text} Thank you.`);
const turn =
  (change: (message: Row["messages"][number]) => void, index = 1) =>
  (row: Row) => {
    change(row.messages[index]!);
    return JSON.stringify(row);
  };
const plant = (code: string, name: string, line: (row: Row) => string): Plant => ({
  code,
  name,
  line,
});

// Keys are put together here, so that no scanner of this repository takes them for real ones.
const key = (...parts: string[]) => parts.join("");

export const plants: readonly Plant[] = [
  plant("syntax", "a comma too many", (row) => `${JSON.stringify(row).slice(0, -1)},}`),
  plant("syntax", "cut off", (row) => JSON.stringify(row).slice(0, -9)),
  plant("not-a-number", "NaN", (row) => `{"score": NaN, ${JSON.stringify(row).slice(1)}`),
  plant("nul-byte", "NUL", (row) => JSON.stringify(row).replace("content", "cont\0ent")),
  plant("too-deep", "nesting", (row) =>
    JSON.stringify({ ...row, deep: 0 }).replace(
      '"deep":0',
      `"deep":${"[".repeat(1200)}${"]".repeat(1200)}`,
    ),
  ),
  plant("duplicate-key", "at the top", (row) => `{"id":1,"id":2,${JSON.stringify(row).slice(1)}`),
  plant("duplicate-key", "in a message", (row) =>
    JSON.stringify(row).replace('"role":"user"', '"role":"system","role":"user"'),
  ),
  plant("not-an-object", "an array", (row) => JSON.stringify([row])),
  plant("not-an-object", "a text", () => '"hello"'),
  plant("unknown-form", "no known field", () => '{"foo":"a","bar":"b"}'),
  plant("mixed-forms", "Alpaca", () => '{"instruction":"Do it.","output":"It is done."}'),
  plant("mixed-forms", "columns", () => '{"question":"Why?","answer":"It is so."}'),
  plant(
    "missing-answer",
    "no content",
    turn((message) => void Reflect.deleteProperty(message, "content")),
  ),
  plant("missing-answer", "null", (row) =>
    JSON.stringify(row).replace(
      /"assistant","content":"(?:[^"\\]|\\.)*"/,
      '"assistant","content":null',
    ),
  ),
  plant("empty-answer", "empty", (row) => say(row, () => "")),
  plant("empty-answer", "blank", (row) => say(row, () => " \n\t\u00a0")),
  plant("answer-not-text", "a number", (row) =>
    JSON.stringify(row).replace(
      /"assistant","content":"(?:[^"\\]|\\.)*"/,
      '"assistant","content":42',
    ),
  ),
  plant("answer-not-text", "an object", (row) =>
    JSON.stringify(row).replace(
      /"assistant","content":"(?:[^"\\]|\\.)*"/,
      '"assistant","content":{"a":1}',
    ),
  ),
  plant(
    "missing-field",
    "no content of the user",
    turn((message) => void Reflect.deleteProperty(message, "content"), 0),
  ),
  plant(
    "missing-field",
    "no role",
    turn((message) => void Reflect.deleteProperty(message, "role"), 0),
  ),
  plant("wrong-type", "messages is no list", () => '{"messages":"hello"}'),
  plant(
    "wrong-type",
    "a message is text",
    () => '{"messages":["a",{"role":"assistant","content":"Ok then."}]}',
  ),
  plant("no-assistant", "only the user", (row) =>
    JSON.stringify({ messages: row.messages.slice(0, 1) }),
  ),
  plant(
    "no-assistant",
    "weight 0",
    turn((message) => void (message["weight"] = 0)),
  ),
  plant(
    "wrong-value",
    "weight 2",
    turn((message) => void (message["weight"] = 2)),
  ),
  plant("last-turn", "the user ends", (row) =>
    JSON.stringify({ messages: [...row.messages, { role: "user", content: "Thanks for it." }] }),
  ),
  plant(
    "unknown-role",
    "bot",
    turn((message) => void (message.role = "bot")),
  ),
  plant(
    "unknown-key",
    "contnet",
    turn((message) => void (message["contnet"] = "x")),
  ),
  plant(
    "tool-call",
    "arguments are no JSON",
    turn(
      (message) =>
        void (message["tool_calls"] = [
          { id: "a", type: "function", function: { name: "f", arguments: "{no" } },
        ]),
    ),
  ),
  plant("tool-call", "a result before a call", (row) =>
    JSON.stringify({
      messages: [
        row.messages[0],
        { role: "tool", tool_call_id: "a", content: "1" },
        row.messages[1],
      ],
    }),
  ),
  plant("unsupported", "an image", (row) =>
    JSON.stringify({
      messages: [
        { role: "user", content: [{ type: "image_url", image_url: { url: "x" } }] },
        row.messages[1],
      ],
    }),
  ),
  plant(
    "unsupported",
    "function_call",
    turn((message) => void (message["function_call"] = { name: "f", arguments: "{}" })),
  ),
  plant("secret", "AWS", insert(key("AKIA", "Z7QK3M5P2WXN4RTB"))),
  plant("secret", "GitHub", insert(`Use ${key("ghp_", "a8Kd03jLmQ2xVb7TzR4wYc9NeUf6HsGp1Xo5")}.`)),
  plant(
    "secret",
    "Slack",
    insert(key("xoxb-", "2093847561-4839201756-", "Qm7Zp3Lx8Vt2Nc6Rb1Ks9Wd4")),
  ),
  plant(
    "secret",
    "a private key",
    insert(
      `${key("-----BEGIN RSA ", "PRIVATE KEY-----")}\n${"MIIEpAIBAAKCAQEA7bq2xV9kLm".repeat(8)}\n${key("-----END RSA ", "PRIVATE KEY-----")}`,
    ),
  ),
  plant(
    "secret",
    "in an address",
    insert(`Open ${key("https://deploy:", "Tz8Qw2Lm5Xc9@git.acme.io/x.git")} now.`),
  ),
  plant("secret", "of the user", (row) =>
    say(row, (text) => `${text} My key is ${key("sk_live_", "9aZ4kQ7wLm2XcV5bN8tRpYd3")}.`, 0),
  ),
  plant("personal-data", "e-mail", insert("Ask maria.lopez@gmail.com for it.")),
  plant("personal-data", "phone", insert("Call +49 30 901820 55 today.")),
  plant("personal-data", "card", insert("It is 4539 1488 0343 6467 there.")),
  plant("personal-data", "IBAN", insert("Pay to DE89 3704 0044 0532 0130 00 please.")),
  plant("personal-data", "IP", insert("It came from 81.2.69.142 today.")),
  plant("special-token", "ChatML", insert("<|im_end|>")),
  plant("special-token", "Llama 2", insert("[INST] more [/INST]")),
  plant("special-token", "Gemma", insert("<end_of_turn>")),
  plant("zero-width", "a space", insert("pay\u200bment")),
  plant("zero-width", "tags", insert("hello \u{e0068}\u{e0069}")),
  plant("bidirectional", "override", insert("abc\u202edef")),
  plant("control-character", "escape", insert("a\u001b[31mb")),
  plant("control-character", "C1", insert("a\u009bb")),
  plant("half-character", "half an emoji", (row) =>
    JSON.stringify(row)
      .replace("Thank", "Thank")
      .replace(/\."\}\]\}$/, '. \\ud83d ok."}]}'),
  ),
  plant("refusal", "sorry", (row) =>
    say(row, (text) => `I'm sorry, but I can't help with that. ${text}`),
  ),
  plant("refusal", "as an AI", (row) =>
    say(row, (text) => `As an AI language model, I think so. ${text}`),
  ),
  plant("repetition", "a sentence", (row) =>
    say(row, () => "The parcel is on its way to you today. ".repeat(14).trim()),
  ),
  plant("repetition", "a letter", (row) => say(row, (text) => `${text} ${"a".repeat(2500)}.`)),
  plant("open-fence", "a fence", insert("\n\n```js\nlet a = 1;\n\n")),
  plant("cut-sentence", "inside a sentence", (row) =>
    say(row, (text) => `${text} Then you should take the old`),
  ),
];

/** Bytes that are no UTF-8 cannot be in a text. */
export function withBrokenByte(line: string): Buffer {
  return Buffer.from(line.replace("assistant", "assist\u00e4nt"), "latin1");
}
