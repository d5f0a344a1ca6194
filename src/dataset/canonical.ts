import { nearestName } from "../base/format.ts";
import { isRecord } from "../base/json.ts";
import { describe, field, outdated, quoted, refuseBlank, RowProblem, textAt } from "./problem.ts";
import type { Fields } from "./problem.ts";
import { isBlank, renderNumber, renderObject, UnwritableNumber } from "./render.ts";
import { readToolCalls, readTools } from "./tools.ts";
import type { ToolCall } from "./tools.ts";

export interface Message {
  readonly role: Role;
  /** "" for a turn of the assistant that only calls tools. */
  readonly content: string;
  /** 0: context only, never learned. */
  readonly weight?: 0 | 1;
  /** What the assistant thought before it answered; templates decide where it is seen. */
  readonly reasoning_content?: string;
  readonly tool_calls?: readonly ToolCall[];
  /** Of a tool's turn: the call that it answers. */
  readonly tool_call_id?: string;
  /** Of a tool's turn: the tool. */
  readonly name?: string;
}

const roles = ["system", "developer", "user", "assistant", "tool"] as const;
export type Role = (typeof roles)[number];

/** The one form of row that is split, fingerprinted, uploaded and trained on. */
export type CanonicalRow = (
  | {
      readonly messages: readonly Message[];
      /** The JSON text of an array of `{type: "function", function: {name, ...}}`. */
      readonly tools?: string;
    }
  | { readonly text: string }
) & {
  /** Rows of one group stay on one side of the split. */
  readonly group?: string;
};

/** The forms of row that are read, by the field that gives each away; an earlier one wins. */
export const shapes = {
  chat: "messages",
  alpaca: "instruction",
  prompt: "prompt",
  text: "text",
} as const;
export type Shape = keyof typeof shapes;

/**
 * Turns a row as JSON.parse gives it into the canonical form.
 *
 * - A field that is null counts as absent. Fields not named here are ignored.
 * - `{instruction, input?, output | content}`: the user says the instruction, an empty line and the
 *   input unless it is blank (an object is shown by {@link renderObject}); the assistant answers.
 * - `{messages: [{role, content, weight?, ...}], tools?}`: kept; at least one assistant turn that is
 *   learned. Only its known keys are: see {@link Message}.
 * - `tool_calls` are `{id?, function: {name, arguments}}` or `{id?, name, arguments}`; arguments are
 *   an object or its JSON text. `tools` are an array or its JSON text, each `{type, function: {name,
 *   ...}}` or `{name, ...}`. Both become JSON text in which entries keep their order, which models
 *   see ({@link exactJson}). An empty list counts as absent.
 * - `{prompt, completion}`: one turn each. `{text}`: learned as it is.
 * - Text is never changed, except that half a surrogate pair becomes U+FFFD: it has no UTF-8.
 * - `group` is the value of the field `groupBy` (text, or a number written as in an input).
 *
 * @throws RowProblem
 */
export function canonicalRow(value: unknown, groupBy?: string): CanonicalRow {
  if (!isRecord(value)) {
    throw new RowProblem("", "type", `the row is ${describe(value)}, not an object`);
  }
  const body = readBody(value);
  const group = groupBy === undefined ? undefined : readGroup(value, groupBy);
  return group === undefined ? body : { ...body, group };
}

/** The form of a row, or undefined if it has none of the fields that tell. */
export function shapeOf(row: Fields): Shape | undefined {
  return (Object.keys(shapes) as Shape[]).find((shape) => field(row, shapes[shape]) !== undefined);
}

function readBody(row: Fields): CanonicalRow {
  switch (shapeOf(row)) {
    case "chat":
      return readChat(row);
    case "alpaca":
      return dialogue(readInstruction(row), readAnswer(row));
    case "prompt":
      return dialogue(readText(row, "prompt"), readText(row, "completion"));
    case "text":
      return { text: readText(row, "text") };
    case undefined:
      throw new RowProblem("", "shape", unknownShape(row));
  }
}

function dialogue(user: string, assistant: string): CanonicalRow {
  return {
    messages: [
      { role: "user", content: user },
      { role: "assistant", content: assistant },
    ],
  };
}

function readInstruction(row: Fields): string {
  const instruction = readText(row, "instruction");
  const input = readInput(row);
  return isBlank(input) ? instruction : `${instruction}\n\n${input}`;
}

function readInput(row: Fields): string {
  const input = field(row, "input");
  if (input === undefined) return "";
  if (typeof input === "string") return input.toWellFormed();
  if (!isRecord(input)) {
    throw new RowProblem("input", "type", `input is ${describe(input)}, not text or an object`);
  }
  return withNumbers("input", () => renderObject(input)).toWellFormed();
}

function readAnswer(row: Fields): string {
  const [output, content] = [field(row, "output"), field(row, "content")];
  if (output === undefined && content === undefined) {
    const near =
      nearestName("output", Object.keys(row)) ?? nearestName("content", Object.keys(row));
    const instead = near === undefined ? "" : `; it has ${quoted(near)}`;
    throw new RowProblem("output", "missing", `no answer in output or content${instead}`);
  }
  if (output !== undefined && content !== undefined && output !== content) {
    throw new RowProblem("output", "conflict", "output and content are both there and differ");
  }
  return readText(row, output === undefined ? "content" : "output");
}

function readChat(row: Fields): CanonicalRow {
  const messages = field(row, "messages");
  if (!Array.isArray(messages)) {
    throw new RowProblem("messages", "type", `messages is ${describe(messages)}, not an array`);
  }
  if (field(row, "functions") !== undefined) throw outdated("functions", "tools");
  const tools = readTools(field(row, "tools"));
  const read = messages.map((message, index) => readMessage(message, `messages[${index}]`));
  if (!read.some((message) => message.role === "assistant" && message.weight !== 0)) {
    throw new RowProblem("messages", "no-assistant", "no turn of the assistant to learn from");
  }
  const call = read.findIndex((message) => message.tool_calls !== undefined);
  const answer = read.findIndex((message) => message.role === "tool");
  if (answer !== -1 && (call === -1 || answer < call)) {
    const path = `messages[${answer}].role`;
    throw new RowProblem(path, "order", `${path}: a tool answers before any tool was called`);
  }
  return tools === undefined ? { messages: read } : { messages: read, tools };
}

function readMessage(message: unknown, path: string): Message {
  if (!isRecord(message)) {
    throw new RowProblem(path, "type", `${path} is ${describe(message)}, not an object`);
  }
  if (field(message, "function_call") !== undefined) {
    throw outdated(`${path}.function_call`, "tool_calls");
  }
  const role = readRole(message, `${path}.role`);
  const calls = readToolCalls(message, role, `${path}.tool_calls`);
  const given = field(message, "content");
  const content =
    given === undefined && calls !== undefined ? "" : textAt(given, `${path}.content`);
  if (role === "assistant" && calls === undefined) refuseBlank(content, `${path}.content`);
  const weight = field(message, "weight");
  if (weight !== undefined && weight !== 0 && weight !== 1) {
    throw new RowProblem(`${path}.weight`, "value", `${path}.weight must be 0 or 1`);
  }
  const more: Record<string, unknown> = { weight, tool_calls: calls };
  const texts =
    role === "assistant" ? ["reasoning_content"] : role === "tool" ? ["tool_call_id", "name"] : [];
  for (const name of texts) {
    const text = field(message, name);
    if (text !== undefined) more[name] = textAt(text, `${path}.${name}`);
  }
  const kept = Object.entries(more).filter(([, value]) => value !== undefined);
  return { role, content, ...Object.fromEntries(kept) };
}

function readRole(message: Fields, path: string): Role {
  const role = textAt(field(message, "role"), path);
  const known = roles.find((name) => name === role);
  if (known !== undefined) return known;
  const near = nearestName(role.slice(0, 40), roles);
  const instead = near === undefined ? `use ${roles.join(", ")}` : `did you mean "${near}"?`;
  throw new RowProblem(path, "role", `${path} is ${quoted(role)}: ${instead}`);
}

function readGroup(row: Fields, groupBy: string): string | undefined {
  const group = field(row, groupBy);
  if (group === undefined) return undefined;
  if (typeof group === "number") return withNumbers(groupBy, () => renderNumber(group));
  if (typeof group === "string") return isBlank(group) ? undefined : group.toWellFormed();
  const message = `${quoted(groupBy)} groups the rows and is ${describe(group)}, not text or a number`;
  throw new RowProblem(groupBy, "type", message);
}

/** Text that must be there and say something. */
function readText(row: Fields, name: string): string {
  const text = textAt(field(row, name), name);
  refuseBlank(text, name);
  return text;
}

function withNumbers(path: string, render: () => string): string {
  try {
    return render();
  } catch (error) {
    if (!(error instanceof UnwritableNumber)) throw error;
    const message = `${quoted(path)} holds the number ${error.message}, which cannot be written exactly: make it text`;
    throw new RowProblem(path, "number", message);
  }
}

function unknownShape(row: Fields): string {
  const names = Object.keys(row);
  const has =
    names.length === 0 ? "it is empty" : `it has ${names.slice(0, 6).map(quoted).join(", ")}`;
  return `the row has none of ${Object.values(shapes).join(", ")}: ${has}`;
}
