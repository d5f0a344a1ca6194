import { hideSecrets } from "./hide-secrets.ts";
import { isBlank } from "./render.ts";

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
  | "order"
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

export type Fields = Readonly<Record<string, unknown>>;

/** A row's own field; null and what objects inherit count as absent. */
export function field(row: Fields, name: string): unknown {
  return Object.hasOwn(row, name) ? (row[name] ?? undefined) : undefined;
}

export function textAt(value: unknown, path: string): string {
  if (value === undefined) throw new RowProblem(path, "missing", `${path} is missing`);
  if (typeof value === "string") return value.toWellFormed();
  throw new RowProblem(path, "type", `${path} is ${describe(value)}, not text`);
}

export function refuseBlank(text: string, path: string): void {
  if (!isBlank(text)) return;
  throw new RowProblem(path, "blank", `${path} is ${text === "" ? "empty" : "blank"}`);
}

export function outdated(path: string, use: string): RowProblem {
  return new RowProblem(path, "unsupported", `${path} is the form of 2023: use ${use}`);
}

/** What a JSON value is, as people say it: "a number (7)". */
export function describe(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  if (typeof value === "object") return "an object";
  if (typeof value === "string") return "text";
  return typeof value === "number" ? `a number (${value})` : JSON.stringify(value);
}

/** Foreign text, short enough for a message, on one line and without secrets. */
export function quoted(text: string): string {
  const shown = hideSecrets(text);
  return JSON.stringify(shown.length > 40 ? `${shown.slice(0, 40)}...` : shown);
}
