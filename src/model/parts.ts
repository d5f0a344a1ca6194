import { MoxiError } from "../base/errors.ts";
import { printable } from "../base/format.ts";
import { isRecord } from "../base/json.ts";

// What a base model must consist of, judged in the same way in a folder and on the hub.

const tokenizers = [
  "tokenizer.json",
  "tokenizer.model",
  "spiece.model",
  "vocab.json",
  "vocab.txt",
  "tekken.json",
];

/** Checks that among a model's file names there are a config, weights and a tokenizer. */
export function checkParts(id: string, names: ReadonlySet<string>): void {
  if (!names.has("config.json")) {
    throw names.has("adapter_config.json")
      ? unsupported(
          `${id} is an adapter, not a base model`,
          "give the model that it was trained on",
        )
      : unsupported(`${id} has no config.json`, "give a model in the Hugging Face layout");
  }
  const all = [...names];
  if (!all.some((name) => /^(?:model|pytorch_model)\b.*\.(?:safetensors|bin)$/.test(name))) {
    throw unsupported(
      `${id} has no weights (model.safetensors)`,
      all.some((name) => name.endsWith(".gguf"))
        ? "GGUF files are for running a model: give the original that they were made from"
        : "give a model with weights in safetensors",
    );
  }
  if (!tokenizers.some((name) => names.has(name)) && !all.some((n) => n.endsWith(".tiktoken"))) {
    throw unsupported(
      `${id} has no tokenizer (tokenizer.json)`,
      "copy its tokenizer files beside it",
    );
  }
}

// Read off transformers 5.23, MODEL_FOR_CAUSAL_LM_MAPPING_NAMES: the classes that
// AutoModelForCausalLM loads and whose names do not say so.
const causalToo = /^(?:Gemma3n?|Gemma4(?:Unified)?)ForConditionalGeneration$/;
const causal = /(?:ForCausalLM|(?<!Bert)LMHeadModel|ModelWithLMHead)$/;

/** Checks by its config.json that a model generates text from left to right and can be trained as it is. */
export function checkArchitecture(id: string, config: unknown): void {
  if (!isRecord(config)) {
    throw unsupported(`config.json of ${id} is not an object`, "give another model");
  }
  const {
    architectures,
    is_encoder_decoder: encoderDecoder,
    quantization_config: quantized,
  } = config;
  const names = Array.isArray(architectures) ? architectures.map(String) : [];
  const isCausal = names.length === 0 || names.some((n) => causal.test(n) || causalToo.test(n));
  if (!isCausal || encoderDecoder === true) {
    const name = printable(names[0] ?? "an encoder-decoder").slice(0, 60);
    throw unsupported(
      `${id} is not a causal language model (${name})`,
      "give a model whose architecture ends in ForCausalLM",
    );
  }
  const quantizer = isRecord(quantized) ? String(quantized["quant_method"]) : "";
  // Their packages are not part of the training environment, and their weights cannot be trained.
  if (/^(?:bitsandbytes|gptq|awq)$/.test(quantizer)) {
    throw unsupported(
      `the weights of ${id} are quantised (${quantizer})`,
      "give the original model",
    );
  }
}

function unsupported(message: string, hint: string): MoxiError {
  return new MoxiError("E_MODEL_UNSUPPORTED", message, { hint, place: { field: "model" } });
}
