import { isRecord } from "../../base/json.ts";
import { field } from "../problem.ts";
import type { Fields } from "../problem.ts";
import { adaptChat } from "./chat.ts";
import { adaptColumns, guessColumns } from "./columns.ts";
import { adaptPreference, isPreference } from "./preference.ts";
import { adaptShareGpt } from "./sharegpt.ts";

/** The form of the rows of a file, as plain data: workers get it too. */
export type Form =
  | { readonly kind: "chat"; readonly field: string; readonly assumed?: true }
  | { readonly kind: "sharegpt"; readonly field: string }
  | { readonly kind: "alpaca" }
  | ({ readonly kind: "columns" } & Columns)
  | { readonly kind: "preference" }
  | { readonly kind: "text"; readonly field: string };

/** Which field of a row says what. */
export interface Columns {
  readonly prompt: string;
  readonly completion: string;
  /** Follows the prompt after an empty line, unless it is blank. */
  readonly context?: string;
  readonly system?: string;
}

/** What a user may write in the config to say which field is what. */
export interface ColumnSettings extends Partial<Columns> {
  readonly messages?: string;
  readonly text?: string;
}

/** The form that the user's settings ask for, or undefined if they ask for none. */
export function formOfSettings(settings: ColumnSettings): Form | undefined {
  const { messages, text, prompt, completion, context, system } = settings;
  if (messages !== undefined) return { kind: "chat", field: messages };
  if (text !== undefined) return { kind: "text", field: text };
  if (prompt === undefined && completion === undefined) return undefined;
  return {
    kind: "columns",
    prompt: prompt ?? "prompt",
    completion: completion ?? "completion",
    ...(context === undefined ? {} : { context }),
    ...(system === undefined ? {} : { system }),
  };
}

/** The form of one row by its own fields, an earlier one wins; undefined if it has none. */
export function formOf(row: Fields): Form | undefined {
  if (field(row, "messages") !== undefined) return { kind: "chat", field: "messages" };
  for (const name of ["conversations", "conversation"]) {
    const turns = field(row, name);
    if (!Array.isArray(turns)) continue;
    const chat = turns.some((turn) => isRecord(turn) && field(turn, "role") !== undefined);
    return { kind: chat ? "chat" : "sharegpt", field: name };
  }
  if (isPreference(row)) return { kind: "preference" };
  const has = (name: string) => field(row, name) !== undefined;
  const own = (name: string) => Object.hasOwn(row, name);
  if (has("instruction") && (own("output") || own("content"))) return { kind: "alpaca" };
  if (has("prompt") && has("completion")) {
    return { kind: "columns", prompt: "prompt", completion: "completion" };
  }
  const guessed = guessColumns(row);
  if (guessed !== undefined) return { kind: "columns", ...guessed };
  // An answer that is missing is a fault of an Alpaca row, not another form.
  if (has("instruction")) return { kind: "alpaca" };
  if (has("prompt")) return { kind: "columns", prompt: "prompt", completion: "completion" };
  if (has("text")) return { kind: "text", field: "text" };
  return undefined;
}

/** Whether a row has the fields of a form, or may be one of its rows with a fault. */
export function fits(form: Form, row: Fields): boolean {
  switch (form.kind) {
    case "chat":
    case "sharegpt":
    case "text":
      return field(row, form.field) !== undefined;
    case "alpaca":
      return field(row, "instruction") !== undefined;
    case "columns":
      return (
        field(row, form.prompt) !== undefined ||
        field(row, form.completion) !== undefined ||
        Object.hasOwn(row, form.prompt)
      );
    case "preference":
      return isPreference(row);
  }
}

/** The row in one of the forms that canonicalRow reads, its group beside it. */
export function adapt(form: Form, row: Fields, groupBy?: string): Fields {
  const adapted = adapted_(form, row);
  if (groupBy === undefined || adapted === row) return adapted;
  return { ...adapted, [groupBy]: field(row, groupBy) };
}

function adapted_(form: Form, row: Fields): Fields {
  switch (form.kind) {
    case "chat":
      return adaptChat(row, form.field);
    case "sharegpt":
      return adaptShareGpt(row, form.field);
    case "alpaca":
      return row;
    case "columns":
      return adaptColumns(row, form);
    case "preference":
      return adaptPreference(row);
    case "text":
      return form.field === "text" ? { text: row["text"] } : { text: field(row, form.field) };
  }
}

/** For people: "chat rows". */
export function formName(form: Form): string {
  switch (form.kind) {
    case "chat":
      return form.assumed ? "rows of no known form" : "chat rows";
    case "sharegpt":
      return "ShareGPT rows";
    case "alpaca":
      return "Alpaca rows";
    case "columns":
      return `${form.prompt} and ${form.completion} rows`;
    case "preference":
      return "preference pairs";
    case "text":
      return "text rows";
  }
}

/** Which field becomes what, for people: {"question": "prompt"}. */
export function mappingOf(form: Form): Readonly<Record<string, string>> {
  switch (form.kind) {
    case "chat":
      return form.assumed ? {} : { [form.field]: "messages" };
    case "sharegpt":
      return { [form.field]: "messages" };
    case "alpaca":
      return { instruction: "prompt", input: "context", "output or content": "completion" };
    case "columns":
      return {
        ...(form.system === undefined ? {} : { [form.system]: "system" }),
        [form.prompt]: "prompt",
        ...(form.context === undefined ? {} : { [form.context]: "context" }),
        [form.completion]: "completion",
      };
    case "preference":
      return { chosen: "the better answer", rejected: "the worse answer" };
    case "text":
      return { [form.field]: "text" };
  }
}
