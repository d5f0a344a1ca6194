import { isRecord } from "../base/json.ts";
import type { Role } from "./canonical.ts";
import { exactJson, Inexact, parseExact } from "./exact.ts";
import { describe, field, refuseBlank, RowProblem, textAt } from "./problem.ts";
import type { Fields } from "./problem.ts";
import { isBlank } from "./render.ts";

export interface ToolCall {
  readonly id?: string;
  readonly function: {
    readonly name: string;
    /** The JSON text of an object, entries in the order of the file. */
    readonly arguments: string;
  };
}

/** The `tools` of a row; undefined if there are none. @throws RowProblem */
export function readTools(value: unknown): string | undefined {
  const tools = parsed(value, "tools");
  if (tools === undefined) return undefined;
  if (!Array.isArray(tools)) {
    throw new RowProblem("tools", "type", `tools is ${describe(tools)}, not an array`);
  }
  if (tools.length === 0) return undefined;
  const read = tools.map((tool: unknown, index) => readTool(tool, `tools[${index}]`));
  return exactAt("tools", read);
}

function readTool(tool: unknown, path: string): Fields {
  if (!isRecord(tool)) {
    throw new RowProblem(path, "type", `${path} is ${describe(tool)}, not an object`);
  }
  const described = field(tool, "function");
  if (described === undefined) {
    nameAt(tool, `${path}.name`);
    return { type: "function", function: tool };
  }
  if (!isRecord(described)) {
    const where = `${path}.function`;
    throw new RowProblem(where, "type", `${where} is ${describe(described)}, not an object`);
  }
  nameAt(described, `${path}.function.name`);
  return tool;
}

/** The `tool_calls` of a message; undefined if there are none. @throws RowProblem */
export function readToolCalls(message: Fields, role: Role, path: string): ToolCall[] | undefined {
  const calls = field(message, "tool_calls");
  if (calls === undefined) return undefined;
  if (!Array.isArray(calls)) {
    throw new RowProblem(path, "type", `${path} is ${describe(calls)}, not an array`);
  }
  if (calls.length === 0) return undefined;
  if (role !== "assistant") {
    throw new RowProblem(path, "role", `${path}: only the assistant calls tools`);
  }
  return calls.map((call: unknown, index) => readToolCall(call, `${path}[${index}]`));
}

function readToolCall(call: unknown, path: string): ToolCall {
  if (!isRecord(call)) {
    throw new RowProblem(path, "type", `${path} is ${describe(call)}, not an object`);
  }
  const nested = field(call, "function");
  const where = nested === undefined ? path : `${path}.function`;
  if (nested !== undefined && !isRecord(nested)) {
    throw new RowProblem(where, "type", `${where} is ${describe(nested)}, not an object`);
  }
  const named = nested ?? call;
  const name = nameAt(named, `${where}.name`);
  const id = field(call, "id");
  const given = parsed(field(named, "arguments"), `${where}.arguments`) ?? {};
  if (!isRecord(given)) {
    const place = `${where}.arguments`;
    throw new RowProblem(place, "type", `${place} is ${describe(given)}, not an object`);
  }
  const made = { function: { name, arguments: exactAt(`${where}.arguments`, given) } };
  return id === undefined ? made : { id: textAt(id, `${path}.id`), ...made };
}

/** A value that may be given as its JSON text; blank text is none. */
function parsed(value: unknown, path: string): unknown {
  if (typeof value !== "string") return value;
  return isBlank(value) ? undefined : exactly(path, () => parseExact(value));
}

function exactAt(path: string, value: unknown): string {
  return exactly(path, () => exactJson(value));
}

function exactly<T>(path: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    if (!(error instanceof Inexact)) throw error;
    throw new RowProblem(path, error.reason, `${path} ${error.message}`);
  }
}

function nameAt(owner: Fields, path: string): string {
  const name = textAt(field(owner, "name"), path);
  refuseBlank(name, path);
  return name;
}
