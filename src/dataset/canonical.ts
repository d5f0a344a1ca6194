import { nearestName } from "../base/format.ts";
import { isRecord } from "../base/json.ts";
import { isBlank, renderNumber, renderObject, UnwritableNumber } from "./render.ts";

export interface Message {
  readonly role: Role;
  readonly content: string;
  /** 0: context only, never learned. */
  readonly weight?: 0 | 1;
}

const roles = ["system", "user", "assistant"] as const;
export type Role = (typeof roles)[number];

/** The one form of row that is split, fingerprinted, uploaded and trained on. */
export type CanonicalRow = (
  | { readonly messages: readonly Message[] }
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

/** Why a row cannot be trained on; `schema/vectors/rows.json` shows each. */
export type Reason =
  | "shape"
  | "missing"
  | "blank"
  | "type"
  | "value"
  | "conflict"
  | "role"
  | "no-assistant"
  | "number"
  | "unsupported";

/** What is wrong with a row: the first thing that was found. */
export class RowProblem extends Error {
  /** "" for the row itself; e.g. "messages[2].role". */
  readonly field: string;
  readonly reason: Reason;

  constructor(field: string, reason: Reason, message: string) {
    super(message);
    this.field = field;
    this.reason = reason;
  }
}

type Fields = Readonly<Record<string, unknown>>;

/**
 * Turns a row as JSON.parse gives it into the canonical form.
 *
 * - A field that is null counts as absent. Fields not named here are ignored.
 * - `{instruction, input?, output | content}`: the user says the instruction, an empty line and the
 *   input unless it is blank (an object is shown by {@link renderObject}); the assistant answers.
 * - `{messages: [{role, content, weight?}]}`: kept; at least one assistant turn that is learned.
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

/** A row's own field; null and what objects inherit count as absent. */
export function field(row: Fields, name: string): unknown {
  return Object.hasOwn(row, name) ? (row[name] ?? undefined) : undefined;
}

function readBody(row: Fields): CanonicalRow {
  switch (shapeOf(row)) {
    case "chat":
      return { messages: readMessages(row) };
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

function readMessages(row: Fields): Message[] {
  const messages = field(row, "messages");
  if (!Array.isArray(messages)) {
    throw new RowProblem("messages", "type", `messages is ${describe(messages)}, not an array`);
  }
  if (field(row, "tools") !== undefined) throw unsupported("tools");
  const read = messages.map((message, index) => readMessage(message, `messages[${index}]`));
  if (!read.some((message) => message.role === "assistant" && message.weight !== 0)) {
    throw new RowProblem("messages", "no-assistant", "no turn of the assistant to learn from");
  }
  return read;
}

function readMessage(message: unknown, path: string): Message {
  if (!isRecord(message)) {
    throw new RowProblem(path, "type", `${path} is ${describe(message)}, not an object`);
  }
  for (const name of ["tool_calls", "function_call"]) {
    if (field(message, name) !== undefined) throw unsupported(`${path}.${name}`);
  }
  const role = readRole(message, `${path}.role`);
  const content = textAt(field(message, "content"), `${path}.content`);
  if (role === "assistant") refuseBlank(content, `${path}.content`);
  const weight = field(message, "weight");
  if (weight !== undefined && weight !== 0 && weight !== 1) {
    throw new RowProblem(`${path}.weight`, "value", `${path}.weight must be 0 or 1`);
  }
  return weight === undefined ? { role, content } : { role, content, weight };
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

function textAt(value: unknown, path: string): string {
  if (value === undefined) throw new RowProblem(path, "missing", `${path} is missing`);
  if (typeof value === "string") return value.toWellFormed();
  throw new RowProblem(path, "type", `${path} is ${describe(value)}, not text`);
}

function refuseBlank(text: string, path: string): void {
  if (!isBlank(text)) return;
  throw new RowProblem(path, "blank", `${path} is ${text === "" ? "empty" : "blank"}`);
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

function unsupported(path: string): RowProblem {
  return new RowProblem(path, "unsupported", `${path}: tool use cannot be trained on yet`);
}

function unknownShape(row: Fields): string {
  const names = Object.keys(row);
  const has =
    names.length === 0 ? "it is empty" : `it has ${names.slice(0, 6).map(quoted).join(", ")}`;
  return `the row has none of ${Object.values(shapes).join(", ")}: ${has}`;
}

/** What a JSON value is, as people say it: "a number (7)". */
function describe(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  if (typeof value === "object") return "an object";
  if (typeof value === "string") return "text";
  return typeof value === "number" ? `a number (${value})` : JSON.stringify(value);
}

/** Foreign text, short enough for a message and on one line. */
function quoted(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}...` : text);
}
