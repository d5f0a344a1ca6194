import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { MoxiError } from "../base/errors.ts";
import { printable } from "../base/format.ts";
import { isRecord } from "../base/json.ts";
import { ModelTokenizer } from "./tokenizer.ts";
import type { TokenizerFiles } from "./tokenizer.ts";

/** Files of a base model that tell how its text becomes tokens; only the first must be there. */
export const tokenizerFileNames = [
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "chat_template.jinja",
  "config.json",
  "generation_config.json",
] as const;

/**
 * The tokenizer of a model's folder. `id` is for messages.
 *
 * @throws MoxiError E_MODEL_UNSUPPORTED
 */
export async function readTokenizer(folder: string, id: string): Promise<ModelTokenizer> {
  const text = (name: string) =>
    readFile(join(folder, name), "utf8").catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return undefined;
      throw error;
    });
  const record = async (name: string): Promise<Readonly<Record<string, unknown>> | undefined> => {
    const content = await text(name);
    if (content === undefined) return undefined;
    try {
      const value: unknown = JSON.parse(content);
      if (isRecord(value)) return value;
    } catch {
      // Told below.
    }
    throw unreadable(id, `its ${name} cannot be read as JSON`, join(folder, name));
  };
  const tokenizer = await record("tokenizer.json");
  if (tokenizer === undefined) {
    throw unreadable(id, "it has no tokenizer.json", join(folder, "tokenizer.json"));
  }
  const files: TokenizerFiles = {
    tokenizer,
    settings: (await record("tokenizer_config.json")) ?? {},
    specials: (await record("special_tokens_map.json")) ?? {},
    template: await text("chat_template.jinja"),
    config: (await record("config.json")) ?? {},
    generation: (await record("generation_config.json")) ?? {},
  };
  try {
    return new ModelTokenizer(files);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const told = `its tokenizer.json cannot be used: ${printable(why).slice(0, 200)}`;
    throw unreadable(id, told, join(folder, "tokenizer.json"), error);
  }
}

function unreadable(id: string, why: string, file: string, cause?: unknown): MoxiError {
  return new MoxiError(
    "E_MODEL_UNSUPPORTED",
    `tokens of ${printable(id)} cannot be counted: ${why}`,
    {
      hint: "download or copy the model again, or leave out --model",
      place: { file },
      cause,
    },
  );
}
