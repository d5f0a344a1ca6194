import { describe, expect, test } from "vitest";
import { canonicalRow } from "./canonical.ts";
import type { CanonicalRow } from "./canonical.ts";
import { convertRow, rowFormats, unreadOf } from "./convert.ts";
import { adapt, formOf } from "./forms/form.ts";
import type { Fields } from "./problem.ts";

/** As a reader of the new file would have it. */
function readAgain(row: Fields): CanonicalRow {
  const form = formOf(row)!;
  return canonicalRow(adapt(form, JSON.parse(JSON.stringify(row)) as Fields));
}

const pair = canonicalRow({ prompt: "Say hello.", completion: "Hello!" });
const chat = canonicalRow({
  messages: [
    { role: "system", content: "Be kind." },
    { role: "user", content: "Hi" },
    { role: "assistant", content: "No.", weight: 0 },
    { role: "user", content: "Please" },
    { role: "assistant", content: "Yes!" },
  ],
});
const tools = canonicalRow({
  tools: [{ type: "function", function: { name: "time", parameters: {} } }],
  messages: [
    { role: "user", content: "What time is it?" },
    { role: "assistant", tool_calls: [{ id: "c1", function: { name: "time", arguments: "{}" } }] },
    { role: "tool", tool_call_id: "c1", content: "12:00" },
    { role: "assistant", content: "Noon." },
  ],
});

describe("what a format can hold is read again as it was", () => {
  test.each(rowFormats.filter((format) => format !== "text"))("a pair as %s", (format) => {
    const { row, lost } = convertRow(pair, format);
    expect(lost).toEqual([]);
    expect(readAgain(row!)).toEqual(pair);
  });
  test.each(["chat", "openai"] as const)("conversations and tools as %s", (format) => {
    for (const canonical of [chat, tools]) {
      const { row, lost } = convertRow(canonical, format);
      expect(lost).toEqual([]);
      expect(readAgain(row!)).toEqual(canonical);
    }
  });
  test("text as text", () => {
    const canonical = canonicalRow({ text: "Once" });
    expect(readAgain(convertRow(canonical, "text").row!)).toEqual(canonical);
  });
});

describe("what a format cannot hold is told", () => {
  test.each([
    [
      chat,
      "prompt",
      null,
      ["rows with a system turn: prompt rows have one question and one answer"],
    ],
    [tools, "sharegpt", null, ["tool calls: ShareGPT rows have no form of them"]],
    [
      tools,
      "alpaca",
      null,
      ["conversations of several turns: alpaca rows have one question and one answer"],
    ],
    [pair, "text", null, ["conversations: text rows have no sides"]],
    [canonicalRow({ text: "x" }), "openai", null, ["text rows: they have no sides"]],
  ] as const)("%#", (canonical, format, row, lost) => {
    expect(convertRow(canonical, format)).toEqual({ row, lost });
  });

  test("weights and reasoning, in rows that are written", () => {
    const { row, lost } = convertRow(chat, "sharegpt");
    expect(lost).toEqual(["weight: every answer counts"]);
    expect((row!["conversations"] as unknown[]).length).toBe(5);
    const thinking = canonicalRow({
      messages: [
        { role: "user", content: "Hi" },
        { role: "assistant", content: "Ho", reasoning_content: "hm" },
      ],
    });
    expect(convertRow(thinking, "openai").lost).toEqual(["reasoning: OpenAI's rows have none"]);
    expect(JSON.stringify(convertRow(thinking, "openai").row)).not.toContain("hm");
  });

  test("fields that are not read, and the worse answer of a pair", () => {
    const row = { messages: [], parallel_tool_calls: false, id: 7 };
    expect(unreadOf(formOf(row)!, row)).toEqual([
      'the field "parallel_tool_calls"',
      'the field "id"',
    ]);
    const said = { role: "assistant", content: "b", refusal: null, audio: { id: "x" } };
    const named = { messages: [{ role: "user", content: "a", name: "Bob" }, said, said] };
    expect(unreadOf(formOf(named)!, named)).toEqual([
      'the field "name" of messages',
      'the field "audio" of messages',
    ]);
    const answer = { role: "tool", content: "c", tool_call_id: "1", name: "time" };
    const whole = { messages: [answer, { role: "assistant", content: "", weight: 1 }] };
    expect(unreadOf(formOf(whole)!, whole)).toEqual([]);
    const share = { conversations: [{ from: "human", value: "a", mood: "good" }] };
    expect(unreadOf(formOf(share)!, share)).toEqual(['the field "mood" of conversations']);
    const better = { prompt: "p", chosen: "a", rejected: "b" };
    expect(unreadOf(formOf(better)!, better)).toEqual(["the worse answers"]);
  });
});

test("OpenAI's calls have a type and an id", () => {
  const call = { role: "assistant", tool_calls: [{ name: "time", arguments: {} }] };
  const { row } = convertRow(
    canonicalRow({ messages: [{ role: "user", content: "?" }, call] }),
    "openai",
  );
  expect((row!["messages"] as unknown[])[1]).toEqual({
    role: "assistant",
    content: null,
    tool_calls: [{ id: "call_1_0", type: "function", function: { name: "time", arguments: "{}" } }],
  });
});
