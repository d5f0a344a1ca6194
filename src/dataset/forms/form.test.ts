import { expect, test } from "vitest";
import { canonicalRow } from "../canonical.ts";
import { adapt, fits, formOf, formOfSettings } from "./form.ts";
import { readPair } from "./preference.ts";
import { Vote } from "./vote.ts";

const user = (content: string) => ({ role: "user", content });
const assistant = (content: string) => ({ role: "assistant", content });
const dialogue = { messages: [user("a"), assistant("b")] };

test.each<[string, Record<string, unknown>, unknown]>([
  ["chat", { messages: [user("a"), assistant("b")] }, dialogue],
  ["chat under another name", { conversation: [user("a"), assistant("b")] }, dialogue],
  [
    "content parts",
    {
      messages: [
        { role: "user", content: [{ type: "text", text: "a" }] },
        { role: "assistant", content: [{ type: "refusal", refusal: "b" }] },
      ],
    },
    dialogue,
  ],
  [
    "what OpenAI writes besides",
    { messages: [user("a"), assistant("b")], parallel_tool_calls: false },
    dialogue,
  ],
  [
    "ShareGPT",
    {
      conversations: [
        { from: "human", value: "a" },
        { from: "gpt", value: "b" },
      ],
    },
    dialogue,
  ],
  [
    "ShareGPT with a system prompt",
    {
      system: "s",
      conversations: [
        { from: "human", value: "a" },
        { from: "gpt", value: "b" },
      ],
    },
    { messages: [{ role: "system", content: "s" }, user("a"), assistant("b")] },
  ],
  [
    "ShareGPT with a function",
    {
      conversations: [
        { from: "human", value: "a" },
        { from: "function_call", value: '{"name":"f","arguments":{"x":1}}' },
        { from: "observation", value: "1" },
        { from: "gpt", value: "b" },
      ],
    },
    {
      messages: [
        user("a"),
        {
          role: "assistant",
          content: "",
          tool_calls: [{ function: { name: "f", arguments: '{"x":1}' } }],
        },
        { role: "tool", content: "1" },
        assistant("b"),
      ],
    },
  ],
  ["Alpaca", { instruction: "a", output: "b" }, dialogue],
  ["Alpaca with content", { instruction: "a", input: "", content: "b" }, dialogue],
  ["prompt and completion", { prompt: "a", completion: "b" }, dialogue],
  ["question and answer", { question: "a", answer: "b" }, dialogue],
  ["names in capitals", { Question: "a", Answer: "b" }, dialogue],
  [
    "Dolly",
    { instruction: "a", context: "c", response: "b" },
    { messages: [user("a\n\nc"), assistant("b")] },
  ],
  [
    "a system prompt beside",
    { system: "s", query: "a", response: "b" },
    { messages: [{ role: "system", content: "s" }, user("a"), assistant("b")] },
  ],
  ["text", { text: "a" }, { text: "a" }],
  ["preference", { prompt: "a", chosen: "b", rejected: "c" }, dialogue],
  [
    "OpenAI's preference",
    {
      input: { messages: [user("a")] },
      preferred_output: [assistant("b")],
      non_preferred_output: [assistant("c")],
    },
    dialogue,
  ],
  [
    "a preference without a prompt",
    { chosen: [user("a"), assistant("b")], rejected: [user("a"), assistant("c")] },
    dialogue,
  ],
])("%s", (_, row, canonical) => {
  const form = formOf(row)!;
  expect(fits(form, row)).toBe(true);
  expect(canonicalRow(adapt(form, row))).toEqual(canonical);
});

test("a pair keeps both answers and what they answer", () => {
  const pair = readPair({
    chosen: [user("a"), assistant("b")],
    rejected: [user("a"), assistant("c")],
  });
  expect(pair).toEqual({
    messages: [user("a")],
    chosen: [assistant("b")],
    rejected: [assistant("c")],
  });
});

test("the user's mapping decides", () => {
  const form = formOfSettings({ prompt: "Frage", completion: "Antwort", context: "Text" })!;
  const row = { Frage: "a", Antwort: "b", Text: "c", messages: 1 };
  expect(canonicalRow(adapt(form, row))).toEqual({ messages: [user("a\n\nc"), assistant("b")] });
  expect(formOfSettings({})).toBeUndefined();
  const chat = formOfSettings({ messages: "turns" })!;
  expect(canonicalRow(adapt(chat, { turns: dialogue.messages }))).toEqual(dialogue);
});

test("the group stays with its row", () => {
  const row = { question: "a", answer: "b", shop: "x" };
  expect(canonicalRow(adapt(formOf(row)!, row, "shop"), "shop")).toEqual({
    ...dialogue,
    group: "x",
  });
});

test("most rows decide, not the first", () => {
  const vote = new Vote();
  expect(vote.winner).toBeUndefined();
  for (const value of [
    { text: "a" },
    { question: "a", answer: "b" },
    7,
    { question: "c", answer: "d" },
  ])
    vote.add({ value });
  expect(vote.winner).toMatchObject({ kind: "columns", prompt: "question", completion: "answer" });
});
