import { isRecord } from "../../base/json.ts";
import type { Message } from "../canonical.ts";

const roles: ReadonlySet<unknown> = new Set(["system", "developer", "user", "assistant"]);

/**
 * The messages of a row that is `{messages: [{role, content}, ...]}` and nothing else, sound and in
 * canonical form as it stands: what most rows of most files are, and ten times as fast to tell as to
 * make a canonical row. Undefined for all others, sound or not.
 */
export function plainChat(row: Record<string, unknown>): readonly Message[] | undefined {
  for (const key in row) if (key !== "messages") return undefined;
  const messages = row["messages"];
  if (!Array.isArray(messages)) return undefined;
  let answered = false;
  for (const message of messages as readonly unknown[]) {
    if (!isRecord(message)) return undefined;
    const { role, content } = message;
    if (!roles.has(role) || typeof content !== "string" || !content.isWellFormed())
      return undefined;
    for (const key in message) if (key !== "role" && key !== "content") return undefined;
    if (role !== "assistant") continue;
    if (!/\w/.test(content)) return undefined;
    answered = true;
  }
  return answered ? (messages as readonly Message[]) : undefined;
}

/** How many names a plain chat of so many messages has. */
export function plainKeys(messages: number): number {
  return 1 + 2 * messages;
}
