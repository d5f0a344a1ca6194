import { isRecord } from "../../base/json.ts";
import { field, quoted, RowProblem } from "../problem.ts";
import type { Fields } from "../problem.ts";

/** A chat row whose content parts are joined; all else stays. @throws RowProblem */
export function adaptChat(row: Fields, name: string): Fields {
  const messages = field(row, name);
  if (!Array.isArray(messages)) return name === "messages" ? row : { messages };
  let joined: unknown[] | undefined;
  for (const [index, message] of messages.entries()) {
    if (!isRecord(message) || !Array.isArray(message["content"])) continue;
    joined ??= messages.slice();
    const content = joinParts(message["content"], `messages[${index}].content`);
    joined[index] = { ...message, content };
  }
  if (joined === undefined && name === "messages") return row;
  const tools = field(row, "tools");
  return { messages: joined ?? messages, ...(tools === undefined ? {} : { tools }) };
}

/** `[{type: "text", text}, {type: "refusal", refusal}]` as OpenAI writes it, joined as it reads it. */
export function joinParts(parts: readonly unknown[], path: string): string {
  return parts
    .map((part, index) => {
      const where = `${path}[${index}]`;
      if (typeof part === "string") return part;
      if (!isRecord(part)) throw new RowProblem(where, "type", `${where} is not an object`);
      const type = field(part, "type");
      const text = type === "refusal" ? field(part, "refusal") : field(part, "text");
      if (type !== "text" && type !== "refusal") {
        const what = typeof type === "string" ? quoted(type) : "without a type";
        const message = `${where} is a part ${what}: only text can be trained on`;
        throw new RowProblem(where, "unsupported", message);
      }
      if (typeof text !== "string") {
        throw new RowProblem(`${where}.text`, "type", `${where}.text is not text`);
      }
      return text;
    })
    .join("");
}
