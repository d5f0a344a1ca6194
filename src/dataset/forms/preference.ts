import { isRecord } from "../../base/json.ts";
import { field, RowProblem } from "../problem.ts";
import type { Fields } from "../problem.ts";

/** DPO's `chosen` and `rejected`, or OpenAI's `preferred_output` and `non_preferred_output`. */
export function isPreference(row: Fields): boolean {
  const has = (name: string) => field(row, name) !== undefined;
  return (
    (has("chosen") && has("rejected")) || (has("preferred_output") && has("non_preferred_output"))
  );
}

/** A conversation and two answers to it: what comes first is better. */
export interface Pair {
  readonly messages: readonly unknown[];
  readonly chosen: readonly unknown[];
  readonly rejected: readonly unknown[];
  readonly tools?: unknown;
}

/**
 * Reads a preference pair: `{prompt?, chosen, rejected}` as TRL has it (text or messages; without a
 * prompt, the messages that both share are it), or `{input: {messages, tools?}, preferred_output,
 * non_preferred_output}` as OpenAI has it.
 *
 * @throws RowProblem
 */
export function readPair(row: Fields): Pair {
  const input = field(row, "input");
  if (field(row, "preferred_output") !== undefined) {
    if (!isRecord(input)) throw new RowProblem("input", "type", "input is not an object");
    const tools = field(input, "tools");
    return {
      messages: turnsOf(field(input, "messages"), "input.messages", "user"),
      chosen: turnsOf(field(row, "preferred_output"), "preferred_output", "assistant"),
      rejected: turnsOf(field(row, "non_preferred_output"), "non_preferred_output", "assistant"),
      ...(tools === undefined ? {} : { tools }),
    };
  }
  const chosen = turnsOf(field(row, "chosen"), "chosen", "assistant");
  const rejected = turnsOf(field(row, "rejected"), "rejected", "assistant");
  const prompt = field(row, "prompt");
  if (prompt !== undefined)
    return { messages: turnsOf(prompt, "prompt", "user"), chosen, rejected };
  let shared = 0;
  while (
    shared < Math.min(chosen.length, rejected.length) - 1 &&
    JSON.stringify(chosen[shared]) === JSON.stringify(rejected[shared])
  ) {
    shared += 1;
  }
  return {
    messages: chosen.slice(0, shared),
    chosen: chosen.slice(shared),
    rejected: rejected.slice(shared),
  };
}

/** The conversation with its better answer: what training on answers alone would see. */
export function adaptPreference(row: Fields): Fields {
  const { messages, chosen, rejected, tools } = readPair(row);
  if (JSON.stringify(chosen) === JSON.stringify(rejected)) {
    throw new RowProblem("rejected", "conflict", "both answers are the same: nothing is preferred");
  }
  return { messages: [...messages, ...chosen], ...(tools === undefined ? {} : { tools }) };
}

function turnsOf(value: unknown, path: string, role: string): unknown[] {
  if (typeof value === "string") {
    if (value.trim() === "") throw new RowProblem(path, "blank", `${path} is empty`);
    return [{ role, content: value }];
  }
  if (Array.isArray(value) && value.length > 0) return value;
  if (value === undefined) throw new RowProblem(path, "missing", `${path} is missing`);
  throw new RowProblem(path, "type", `${path} is neither text nor a list of messages`);
}
