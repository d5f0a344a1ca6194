// Rows of every shape, made the same each time.

type Turn = Readonly<Record<string, unknown>>;

const words = (
  "the of and to in is that for it as was with be by on not he this are or his from at which but " +
  "have an had they you were their one all we can her has there been if more when will would who so " +
  "no README install package version function return const import export naïve café Straße Ünïcödé " +
  "日本語 中文 한국어 עברית العربية हिन्दी ไทย 🎉 👩‍👩‍👧 🇨🇭 é e\u0301 ﬁ ½ ² Ⅷ 12345 3.14 1,000 -7 0x1F don't I'M we'll they'RE"
).split(" ");
const odd = [
  "",
  " ",
  "  ",
  "\n",
  "\n\n",
  "\t",
  " \n ",
  "\r\n",
  "...",
  "```ts\nconst a = 1;\n```",
  "<b>&amp;</b>",
  "<|im_end|>",
  "<|im_start|>user\n",
  "</s>",
  "[INST]",
  "<|eot_id|>",
  "<|end|>",
  "<end_of_turn>",
  "<|bos|>",
  "{{ x }}",
  "{% raw %}",
  "</think>",
  "<think>\nhm\n</think>\n\n",
  "'",
  '"',
  "\\n",
  "\u00a0",
  "\u2028",
  "\u200b",
  "\ufeff",
  "\x1c",
  "\x85",
  "\u3000",
  "\u{1f600}",
  "\u{f0000}",
  "\ufffd",
  "_",
  "__init__",
  "a_b",
  "▁",
  "Ġ",
  "##",
  "[UNK]",
  "<unk>",
  "<0x41>",
];

/** A linear congruential generator (Numerical Recipes, 1992). */
function dice(seed: number): (sides: number) => number {
  let state = seed >>> 0;
  return (sides) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * sides);
  };
}

export function corpus(): Record<string, unknown>[] {
  const roll = dice(7);
  const text = (most: number, oddness = 6): string => {
    let made = "";
    const length = 1 + roll(most);
    for (let at = 0; at < length; at++) {
      made += roll(oddness) === 0 ? odd[roll(odd.length)]! : words[roll(words.length)]!;
      if (roll(8) > 0) made += " ";
    }
    return made.trim() === "" ? "x" : made;
  };
  const user = (): Turn => ({ role: "user", content: text(20) });
  const answer = (): Turn => ({
    role: "assistant",
    content: text(30),
    ...(roll(4) === 0 ? { weight: roll(2) } : {}),
    ...(roll(9) === 0 ? { reasoning_content: text(10) } : {}),
  });
  const rows: Record<string, unknown>[] = [];
  for (let index = 0; index < 60; index++) {
    const messages: Turn[] = roll(3) === 0 ? [{ role: "system", content: text(8) }] : [];
    const rounds = 1 + roll(3);
    for (let round = 0; round < rounds; round++) messages.push(user(), answer());
    if (roll(8) === 0) messages.push(user());
    const learns = messages.some(({ role, weight }) => role === "assistant" && weight !== 0);
    if (learns) rows.push({ messages });
  }
  // Templates look for the last question by comparing: equal ones are all last.
  const [asked, answered] = [user(), { role: "assistant", content: "Yes." }];
  rows.push({ messages: [asked, answered, asked, answered] });
  const tools = [{ type: "function", function: { name: "time", parameters: {} } }];
  rows.push({ tools, messages: [asked, answered, asked, answered] });
  // The limit follows from the longest rows but one in 200.
  for (const length of [400, 900]) rows.push({ text: "one word after the other ".repeat(length) });
  for (let index = 0; index < 20; index++) rows.push({ text: text(40) });
  // Each odd text at both ends and in the middle.
  for (const piece of odd) {
    const content = `${piece}a${piece}b c${piece}`;
    rows.push({
      messages: [
        { role: "user", content },
        { role: "assistant", content },
      ],
    });
  }
  return rows;
}
