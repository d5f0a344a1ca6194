import { isRecord } from "../base/json.ts";
import type { CanonicalRow, Message } from "./canonical.ts";
import type { Form } from "./forms/form.ts";
import { field } from "./problem.ts";
import type { Fields } from "./problem.ts";

/** What rows can be written as. */
export const rowFormats = ["chat", "openai", "prompt", "alpaca", "sharegpt", "text"] as const;
export type RowFormat = (typeof rowFormats)[number];

/** A row in another format, and what of it that format cannot hold; null if it can hold none of it. */
export interface Converted {
  readonly row: Fields | null;
  readonly lost: readonly string[];
}

type Conversation = Extract<CanonicalRow, { readonly messages: unknown }>;

/**
 * Writes a canonical row in a format.
 *
 * - `chat`: as Moxi has it. `openai`: as OpenAI documents it, with tools as an array.
 * - `prompt`: one question and its answer. `alpaca`: the same as instruction and output.
 * - `sharegpt`: turns of system, human and gpt. `text`: only text rows.
 */
export function convertRow(row: CanonicalRow, format: RowFormat): Converted {
  if ("text" in row) {
    if (format === "text" || format === "chat") return { row: { text: row.text }, lost: [] };
    return { row: null, lost: ["text rows: they have no sides"] };
  }
  switch (format) {
    case "chat":
      return { row: { ...row, ...toolsOf(row) }, lost: [] };
    case "openai": {
      const lost = [
        ...(row.messages.some((message) => message.reasoning_content !== undefined)
          ? ["reasoning: OpenAI's rows have none"]
          : []),
        ...groupLost(row),
      ];
      return { row: { messages: row.messages.map(openAiMessage), ...toolsOf(row) }, lost };
    }
    case "prompt":
    case "alpaca":
      return pairOf(row, format);
    case "sharegpt":
      return shareGptOf(row);
    case "text":
      return { row: null, lost: ["conversations: text rows have no sides"] };
  }
}

function toolsOf({ tools }: Conversation): Fields {
  return tools === undefined ? {} : { tools: JSON.parse(tools) as unknown };
}

/** As OpenAI documents it: calls are of a type, and have an id. */
function openAiMessage(message: Message, at: number): Fields {
  const { reasoning_content: _, tool_calls: calls, ...kept } = message;
  if (calls === undefined) return kept;
  const tool_calls = calls.map(({ id, function: called }, index) => ({
    id: id ?? `call_${at}_${index}`,
    type: "function",
    function: called,
  }));
  return { ...kept, ...(kept.content === "" ? { content: null } : {}), tool_calls };
}

function pairOf(row: Conversation, format: "prompt" | "alpaca"): Converted {
  const { messages } = row;
  const [first, second] = messages;
  const isPair = messages.length === 2 && first!.role === "user" && second!.role === "assistant";
  if (!isPair || second!.tool_calls !== undefined) {
    const what = messages.some(
      (message) => message.role === "system" || message.role === "developer",
    )
      ? "rows with a system turn"
      : "conversations of several turns";
    return { row: null, lost: [`${what}: ${format} rows have one question and one answer`] };
  }
  const lost = [...moreLost(row), ...groupLost(row)];
  const [question, answer] = [first!.content, second!.content];
  const pair =
    format === "prompt"
      ? { prompt: question, completion: answer }
      : { instruction: question, input: "", output: answer };
  return { row: pair, lost };
}

function shareGptOf(row: Conversation): Converted {
  const names = {
    system: "system",
    developer: "system",
    user: "human",
    assistant: "gpt",
    tool: "tool",
  };
  if (row.messages.some(({ role, tool_calls: calls }) => role === "tool" || calls !== undefined)) {
    return { row: null, lost: ["tool calls: ShareGPT rows have no form of them"] };
  }
  const lost = [...moreLost(row), ...groupLost(row)];
  if (row.messages.some(({ role }) => role === "developer")) {
    lost.push("developer: written as system");
  }
  const conversations = row.messages.map(({ role, content }) => ({
    from: names[role],
    value: content,
  }));
  return { row: { conversations }, lost };
}

/** What neither pairs nor ShareGPT can hold. */
function moreLost({ messages, tools }: Conversation): string[] {
  const has = (name: keyof Message) => messages.some((message) => message[name] !== undefined);
  return [
    ...(tools === undefined ? [] : ["tools"]),
    ...(has("weight") ? ["weight: every answer counts"] : []),
    ...(has("reasoning_content") ? ["reasoning"] : []),
  ];
}

function groupLost({ group }: Conversation): string[] {
  return group === undefined ? [] : ["group"];
}

/** What of a row as it was written no canonical row keeps. */
export function unreadOf(form: Form, value: unknown): string[] {
  if (!isRecord(value)) return [];
  if (form.kind === "preference") return ["the worse answers"];
  const known = new Set(knownFields(form));
  const unread = Object.keys(value).filter((name) => !known.has(name));
  return [
    ...unread.map((name) => `the field ${JSON.stringify(name.slice(0, 40))}`),
    ...unreadOfTurns(form, value),
  ];
}

/** What of its turns; a field that is null counts as absent. */
function unreadOfTurns(form: Form, row: Fields): string[] {
  if (form.kind !== "chat" && form.kind !== "sharegpt") return [];
  const turns = field(row, form.field);
  const unread = new Set<string>();
  for (const turn of Array.isArray(turns) ? turns : []) {
    if (!isRecord(turn)) continue;
    const known = form.kind === "chat" ? knownOfMessage(turn) : ["from", "value", "weight"];
    for (const name of Object.keys(turn)) {
      if (!known.includes(name) && field(turn, name) !== undefined) unread.add(name);
    }
  }
  return Array.from(
    unread,
    (name) => `the field ${JSON.stringify(name.slice(0, 40))} of ${form.field}`,
  );
}

function knownOfMessage({ role }: Fields): string[] {
  const always = ["role", "content", "weight", "tool_calls"];
  if (role === "assistant") return [...always, "reasoning_content"];
  return role === "tool" ? [...always, "tool_call_id", "name"] : always;
}

function knownFields(form: Exclude<Form, { readonly kind: "preference" }>): string[] {
  switch (form.kind) {
    case "chat":
    case "sharegpt":
      return [form.field, "tools", "system"];
    case "alpaca":
      return ["instruction", "input", "output", "content"];
    case "columns":
      return [form.prompt, form.completion, form.context ?? "", form.system ?? ""];
    case "text":
      return [form.field];
  }
}
