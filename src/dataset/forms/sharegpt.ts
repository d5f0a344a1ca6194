import { isRecord } from "../../base/json.ts";
import { field } from "../problem.ts";
import type { Fields } from "../problem.ts";

/** Who speaks, in the words that ShareGPT files have. */
const speakers: Readonly<Record<string, string>> = {
  human: "user",
  user: "user",
  gpt: "assistant",
  chatgpt: "assistant",
  bing: "assistant",
  bard: "assistant",
  assistant: "assistant",
  model: "assistant",
  system: "system",
  function_call: "assistant",
  observation: "tool",
  function_response: "tool",
  tool: "tool",
};

/** `{conversations: [{from, value}], system?, tools?}` as a chat row. */
export function adaptShareGpt(row: Fields, name: string): Fields {
  const turns = field(row, name);
  if (!Array.isArray(turns)) return { messages: turns };
  const messages: unknown[] = turns.map(adaptTurn);
  const system = field(row, "system");
  if (typeof system === "string" && system.trim() !== "") {
    messages.unshift({ role: "system", content: system });
  }
  const tools = field(row, "tools");
  return { messages, ...(tools === undefined ? {} : { tools }) };
}

function adaptTurn(turn: unknown): unknown {
  if (!isRecord(turn)) return turn;
  const from = field(turn, "from");
  const value = field(turn, "value");
  const known = typeof from === "string" && Object.hasOwn(speakers, from.toLowerCase());
  const role = known ? speakers[from.toLowerCase()] : from;
  const weight = field(turn, "weight");
  const more = weight === undefined ? {} : { weight };
  if (from !== "function_call" || typeof value !== "string") {
    return { role, content: value, ...more };
  }
  const call = parsed(value);
  return {
    role,
    ...(call === undefined ? { content: value } : { tool_calls: [call].flat() }),
    ...more,
  };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
