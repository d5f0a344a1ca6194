import { isRecord } from "../base/json.ts";

type Json = Readonly<Record<string, unknown>>;

/** What is done here just as the Rust tokenizers do it, by the part of tokenizer.json. */
const exact: Readonly<Record<string, (part: Json) => boolean>> = {
  // Normalizers.
  NFC: () => true,
  NFD: () => true,
  NFKC: () => true,
  NFKD: () => true,
  Lowercase: () => true,
  Prepend: () => true,
  Replace: ({ pattern }) => isRecord(pattern) && "String" in pattern,
  BertNormalizer: ({ clean_text: clean }) => clean === true,
  // Pre-tokenizers.
  ByteLevel: () => true,
  BertPreTokenizer: () => true,
  WhitespaceSplit: () => true,
  Metaspace: () => true,
  Split: ({ behavior, invert }) =>
    (behavior === "Isolated" && invert !== true) || (behavior === "Removed" && invert === true),
  // Models.
  BPE: ({ dropout, continuing_subword_prefix: prefix, end_of_word_suffix: suffix }) =>
    !dropout && !prefix && !suffix,
  // Of two cuts with almost the same score, the library may take the other one.
  Unigram: () => false,
  WordPiece: () => true,
};

/** Classes of transformers that read tokenizer.json as it stands. */
const plainClasses = new Set([
  "PreTrainedTokenizerFast",
  "PreTrainedTokenizer",
  "TokenizersBackend",
]);

const qwenSplit =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/** Why the tokens that are counted here may differ from those that training sees. */
export function inexactParts(tokenizer: Json, settings: Json, config: Json): string[] {
  const reasons: string[] = [];
  for (const where of ["normalizer", "pre_tokenizer", "model"]) {
    for (const part of partsOf(tokenizer[where])) {
      const type = typeof part["type"] === "string" ? part["type"] : "without a type";
      const isExact = Object.hasOwn(exact, type) && exact[type]!(part);
      if (!isExact) reasons.push(`its ${where.replace("_", "-")} ${type} is only done alike here`);
    }
  }
  const added = (tokenizer["added_tokens"] as Json[]).filter((token) =>
    ["single_word", "lstrip", "rstrip"].some((name) => token[name] === true),
  );
  if (added.some((token) => token["single_word"] === true)) {
    reasons.push("some of its added tokens count as whole words only");
  }
  const type = settings["tokenizer_class"];
  if (typeof type === "string" && !plainClasses.has(type) && !rebuiltAlike(type, tokenizer)) {
    reasons.push(`transformers builds its ${type} by rules of its own, not from tokenizer.json`);
  }
  if (type === undefined && typeof config["model_type"] === "string") {
    reasons.push("its tokenizer_config.json does not name a tokenizer_class");
  }
  return reasons;
}

/** Whether what transformers rebuilds of a class is what tokenizer.json says. */
function rebuiltAlike(type: string, tokenizer: Json): boolean {
  const [pre] = [partsOf(tokenizer["pre_tokenizer"])];
  const byteLevel = pre.some((part) => part["type"] === "ByteLevel");
  // A Llama tokenizer with bytes is read as it stands.
  if (/^LlamaTokenizer(?:Fast)?$/.test(type)) return byteLevel;
  if (!/^Qwen2Tokenizer(?:Fast)?$/.test(type)) return false;
  const normalizers = partsOf(tokenizer["normalizer"]).map((part) => part["type"]);
  const pattern = pre[0]?.["pattern"];
  return (
    normalizers.join() === "NFC" &&
    pre.length === 2 &&
    byteLevel &&
    isRecord(pattern) &&
    pattern["Regex"] === qwenSplit
  );
}

/** A part, or the parts of a sequence. */
function partsOf(part: unknown): Json[] {
  if (!isRecord(part)) return [];
  const inner = part["normalizers"] ?? part["pretokenizers"];
  return Array.isArray(inner) ? (inner as unknown[]).flatMap(partsOf) : [part];
}
