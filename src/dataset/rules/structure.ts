import { isRecord } from "../../base/json.ts";
import { canonicalRow } from "../canonical.ts";
import { adapt } from "../forms/form.ts";
import type { Form } from "../forms/form.ts";
import { placeIn } from "../forms/place.ts";
import { field, RowProblem } from "../problem.ts";
import type { Fields, Reason } from "../problem.ts";
import type { RuleCode } from "./catalog.ts";

export interface Fault {
  readonly code: RuleCode;
  readonly field: string;
  readonly detail: string;
}

/**
 * Everything that keeps a row from being trained on, not only the first: each field and each
 * message is read by itself, in a row that is sound apart from it.
 */
export function findFaults(form: Form, row: Fields, first: RowProblem): Fault[] {
  const faults = new Map<string, Fault>();
  const add = (problem: RowProblem) => {
    const where = placeIn(form, problem.field);
    const code = codeOf(problem, form, row);
    faults.set(`${code} ${where}`, { code, field: where, detail: detailOf(problem, row, where) });
  };
  for (const part of partsOf(form, row)) {
    try {
      canonicalRow(part.row);
    } catch (error) {
      if (!(error instanceof RowProblem)) throw error;
      add(new RowProblem(part.rename(error.field), error.reason, part.rename(error.message)));
    }
  }
  if (faults.size === 0) add(first);
  return [...faults.values()];
}

interface Part {
  readonly row: unknown;
  readonly rename: (text: string) => string;
}

const same = (text: string) => text;
const sound = "x";

function partsOf(form: Form, row: Fields): Part[] {
  switch (form.kind) {
    case "alpaca":
      return [
        { row: { ...row, output: sound, content: sound }, rename: same },
        { row: { ...row, instruction: sound, input: null }, rename: same },
      ];
    case "columns":
      return [
        { row: { prompt: field(row, form.prompt), completion: sound }, rename: same },
        { row: { prompt: sound, completion: field(row, form.completion) }, rename: same },
      ];
    case "chat":
    case "sharegpt":
      return messageParts(form, row);
    case "preference":
    case "text":
      return [];
  }
}

const call = {
  role: "assistant",
  content: sound,
  tool_calls: [{ function: { name: sound, arguments: {} } }],
};

function messageParts(form: Form, row: Fields): Part[] {
  let adapted: Fields;
  try {
    adapted = adapt(form, row);
  } catch (error) {
    if (!(error instanceof RowProblem)) throw error;
    return [];
  }
  const messages = adapted["messages"];
  if (!Array.isArray(messages)) return [];
  return messages.map((message: unknown, index) => ({
    row: { messages: [call, message], tools: index === 0 ? adapted["tools"] : undefined },
    rename: (text) => text.replaceAll("messages[1]", `messages[${index}]`),
  }));
}

const byReason: Readonly<Record<Reason, RuleCode>> = {
  shape: "unknown-form",
  missing: "missing-field",
  blank: "empty-prompt",
  type: "wrong-type",
  value: "wrong-value",
  conflict: "conflicting-fields",
  role: "unknown-role",
  "no-assistant": "no-assistant",
  order: "tool-call",
  number: "inexact-number",
  unsupported: "unsupported",
};

function codeOf({ field: path, reason }: RowProblem, form: Form, row: Fields): RuleCode {
  if (/tool_calls|^tools/.test(path) && reason !== "unsupported") return "tool-call";
  if (path === "") return reason === "type" ? "not-an-object" : byReason[reason];
  const answer = answerFields.has(path) || saysAssistant(form, row, path);
  if (answer && reason === "missing") return "missing-answer";
  if (answer && reason === "blank") return "empty-answer";
  if (answer && reason === "type") return "answer-not-text";
  return byReason[reason];
}

const answerFields: ReadonlySet<string> = new Set([
  "output",
  "content",
  "completion",
  "text",
  "chosen",
  "rejected",
  "preferred_output",
  "non_preferred_output",
]);

/** Whether a path of a chat is the content of a turn of the assistant. */
function saysAssistant(form: Form, row: Fields, path: string): boolean {
  if (form.kind !== "chat" && form.kind !== "sharegpt") return false;
  const index = /^messages\[(\d+)\]\.content$/.exec(path)?.[1];
  if (index === undefined) return false;
  const messages = adapt(form, row)["messages"];
  const message: unknown = Array.isArray(messages) ? messages[Number(index)] : undefined;
  return isRecord(message) && message["role"] === "assistant";
}

function detailOf(
  { field: path, reason, message }: RowProblem,
  row: Fields,
  where: string,
): string {
  const own = isRecord(row) && Object.hasOwn(row, where) ? row[where] : undefined;
  if (reason === "missing" && own === null) return `${where} is null`;
  return path === "" || path === where ? message : message.replaceAll(path, where);
}

/** Names that OpenAI and canonical rows know in a message. */
const messageKeys = new Set([
  "role",
  "content",
  "name",
  "weight",
  "tool_calls",
  "tool_call_id",
  "function_call",
  "refusal",
  "reasoning_content",
  "audio",
]);

/** The first field of a message that nothing reads: a misspelt one loses what it holds. */
export function findUnknownKey(messages: readonly unknown[]): string | undefined {
  for (let index = 0; index < messages.length; index++) {
    const message = messages[index];
    if (!isRecord(message)) continue;
    for (const key in message) {
      if (!messageKeys.has(key)) return `messages[${index}].${key}`;
    }
  }
  return undefined;
}
