import { isRecord } from "../base/json.ts";
import { renderNumber, UnwritableNumber } from "./render.ts";

/** Objects and arrays in each other, at most: what reads a row later must not run out of stack. */
const maxDepth = 64;

/** Why a value has no exact text. */
export class Inexact extends Error {
  readonly reason: "number" | "value";

  constructor(reason: "number" | "value", message: string) {
    super(message);
    this.reason = reason;
  }
}

/**
 * A JSON value as the one text that TypeScript and Python write for it: no blanks, entries in the
 * order of the file (whole-number keys first, as JavaScript keeps them), halves of surrogate pairs
 * as U+FFFD. The order is kept because models see it: a chat template prints arguments and schemas
 * as they stand.
 *
 * @throws Inexact for a number that the languages would not write alike, and for deep nesting
 */
export function exactJson(value: unknown): string {
  return JSON.stringify(exact(value, 0));
}

/** Reads JSON text. @throws Inexact if it is none */
export function parseExact(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Inexact("value", "is not JSON");
  }
}

function exact(value: unknown, depth: number): unknown {
  if (depth > maxDepth) throw new Inexact("value", `is nested more than ${maxDepth} deep`);
  if (typeof value === "string") return value.toWellFormed();
  if (typeof value === "number") return exactNumber(value);
  if (Array.isArray(value)) return value.map((item) => exact(item, depth + 1));
  if (!isRecord(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key.toWellFormed(), exact(item, depth + 1)]),
  );
}

function exactNumber(value: number): number {
  try {
    renderNumber(value);
    return value;
  } catch (error) {
    if (!(error instanceof UnwritableNumber)) throw error;
    const what = `holds the number ${error.message}, which cannot be written exactly`;
    throw new Inexact("number", `${what}: make it text`);
  }
}
