import { field } from "../problem.ts";
import type { Fields } from "../problem.ts";
import { isBlank } from "../render.ts";
import type { Columns } from "./form.ts";

/** Names that tables have for the two sides of a row, the clearest first. */
const promptNames = ["prompt", "question", "instruction", "query", "problem", "user", "request"];
const answerNames = [
  "completion",
  "answer",
  "response",
  "solution",
  "reply",
  "assistant",
  "target",
];
const weakPromptNames = ["input", "source"];
const weakAnswerNames = ["output", "label"];
const contextNames = ["context", "input", "passage"];
const systemNames = ["system", "system_prompt"];

/** The columns of a row with a question and an answer under names of its own, or undefined. */
export function guessColumns(row: Fields): Columns | undefined {
  const names = new Map<string, string>();
  for (const name of Object.keys(row)) {
    const plain = name.toLowerCase().trim();
    if (!names.has(plain)) names.set(plain, name);
  }
  const find = (wanted: readonly string[]) => {
    const name = wanted.find((one) => names.has(one));
    return name === undefined ? undefined : names.get(name);
  };
  const prompt = find(promptNames) ?? find(weakPromptNames);
  const completion = find(answerNames) ?? find(weakAnswerNames);
  if (prompt === undefined || completion === undefined) return undefined;
  const context = find(contextNames);
  const system = find(systemNames);
  return {
    prompt,
    completion,
    ...(context === undefined || context === prompt ? {} : { context }),
    ...(system === undefined ? {} : { system }),
  };
}

/** A row of named columns as a chat row, or as prompt and completion where it has no more. */
export function adaptColumns(row: Fields, columns: Columns): Fields {
  const { context, system } = columns;
  const answer = field(row, columns.completion);
  let prompt = field(row, columns.prompt);
  const more = context === undefined ? undefined : field(row, context);
  if (typeof prompt === "string" && typeof more === "string" && !isBlank(more)) {
    prompt = `${prompt}\n\n${more}`;
  }
  const before = system === undefined ? undefined : field(row, system);
  if (typeof before !== "string" || isBlank(before)) return { prompt, completion: answer };
  if (typeof prompt !== "string" || isBlank(prompt)) return { prompt, completion: answer };
  if (typeof answer !== "string" || isBlank(answer)) return { prompt, completion: answer };
  return {
    messages: [
      { role: "system", content: before },
      { role: "user", content: prompt },
      { role: "assistant", content: answer },
    ],
  };
}
