import { MoxiError } from "../base/errors.ts";
import { printable } from "../base/format.ts";
import type { ModelTokenizer } from "../model/tokenizer.ts";
import { readFamilies } from "./families.ts";
import { SampleMaker } from "./sample.ts";

/** @throws MoxiError E_MODEL_UNSUPPORTED if the model's chat template cannot be read here */
export async function makeSampleMaker(
  tokenizer: ModelTokenizer,
  id: string,
  templatesFolder: string,
): Promise<SampleMaker> {
  const families = await readFamilies(templatesFolder);
  try {
    return new SampleMaker(tokenizer, families);
  } catch (error) {
    const why = error instanceof Error ? printable(error.message).slice(0, 200) : "";
    throw new MoxiError(
      "E_MODEL_UNSUPPORTED",
      `the chat template of ${printable(id)} cannot be read here: ${why}`,
      {
        hint: "training may still read it; leave out --model to go on without tokens",
        cause: error,
      },
    );
  }
}
