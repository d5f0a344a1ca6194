import { isRecord } from "../../base/json.ts";
import { field } from "../problem.ts";
import type { Form } from "./form.ts";

/** Where in the row as it was written the place of a canonical row comes from. */
export function placeIn(form: Form, path: string): string {
  switch (form.kind) {
    case "chat":
      return form.field === "messages" ? path : path.replace(/^messages/, form.field);
    case "sharegpt":
      return path
        .replace(/^messages/, form.field)
        .replace(/\.content$/, ".value")
        .replace(/\.role$/, ".from");
    case "columns":
      return path === "prompt" ? form.prompt : path === "completion" ? form.completion : path;
    case "text":
      return path === "text" ? form.field : path;
    case "alpaca":
    case "preference":
      return path;
  }
}

/**
 * Where in the row as it was written a message of a canonical row comes from.
 *
 * @param count how many messages the canonical row has
 */
export function placeOfMessage(form: Form, message: number, count: number, value: unknown): string {
  switch (form.kind) {
    case "chat":
    case "sharegpt":
      return placeIn(form, `messages[${message}].content`);
    case "alpaca":
      if (message === 0) return "instruction";
      return isRecord(value) && field(value, "output") === undefined ? "content" : "output";
    case "columns":
      if (message === count - 1) return form.completion;
      return count === 3 && message === 0 ? form.system! : form.prompt;
    case "preference":
      return message === count - 1 ? "chosen" : "prompt";
    case "text":
      return form.field;
  }
}
