import type { Tokenizer } from "@huggingface/tokenizers";
import { isRecord } from "../base/json.ts";

type Json = Readonly<Record<string, unknown>>;

/** So many pieces of text are remembered with their tokens. */
const remembered = 100_000;
/** Longer ones are rare, and seldom come again. */
const longestRemembered = 64;
const sectionsRemembered = 64;
const longestSection = 100_000;

/**
 * Tokens of text as a tokenizer has them. Most tokenizers of today are byte-level BPE: they cut text
 * at added tokens and by an expression into words, each on its own. For these the tokens of words
 * are remembered, since texts repeat their words, and those of sections, since every answer repeats
 * its prompt. For all others the library does the whole of it.
 */
export class SectionEncoder {
  readonly #tokenizer: Tokenizer;
  readonly #words: RegExp | undefined;
  readonly #composes: boolean;
  readonly #added: RegExp | undefined;
  readonly #ids = new Map<string, number>();
  readonly #knownWords = new Map<string, readonly number[]>();
  readonly #knownSections = new Map<string, readonly number[]>();

  /** `json` is the tokenizer.json that the tokenizer was made of. */
  constructor(tokenizer: Tokenizer, json: Json) {
    this.#tokenizer = tokenizer;
    const added = json["added_tokens"] as readonly Json[];
    const contents = added.map((token) => String(token["content"])).filter(Boolean);
    for (const token of added) this.#ids.set(String(token["content"]), Number(token["id"]));
    const stripping = ["single_word", "lstrip", "rstrip"];
    const plain = added.every((token) => stripping.every((name) => token[name] !== true));
    this.#words = plain ? wordsOf(json, tokenizer) : undefined;
    this.#composes = json["normalizer"] !== null;
    if (contents.length === 0) return;
    contents.sort((one, other) => other.length - one.length);
    const escaped = contents.map((text) => text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"));
    this.#added = new RegExp(`(${escaped.join("|")})`);
  }

  /** Names of added tokens are those tokens. */
  encode(text: string): number[] {
    // Some added tokens are looked for before the text is composed, others after.
    if (this.#words === undefined || (this.#composes && text.normalize("NFC") !== text)) {
      return text === ""
        ? []
        : known(this.#tokenizer.encode(text, { add_special_tokens: false }).ids);
    }
    const ids: number[] = [];
    const sections = this.#added === undefined ? [text] : text.split(this.#added);
    for (const [at, section] of sections.entries()) {
      if (at % 2 === 1) ids.push(this.#ids.get(section)!);
      else if (section !== "") append(ids, this.#section(section));
    }
    return ids;
  }

  /** Names of added tokens are text as any other. */
  encodePlain(text: string): number[] {
    const { normalizer, pre_tokenizer: cut } = this.#tokenizer;
    const normal = normalizer === null ? text : normalizer.normalize(text);
    if (normal === "") return [];
    return this.#ofWords(cut === null ? [normal] : cut.pre_tokenize(normal, { section_index: 0 }));
  }

  #ofWords(words: string[]): number[] {
    const model = this.#tokenizer.model!;
    const tokens = model(words) as string[];
    return known(tokens.map((token) => model.tokens_to_ids.get(token) ?? model.unk_token_id));
  }

  #section(text: string): readonly number[] {
    const before = this.#knownSections.get(text);
    if (before !== undefined) return before;
    const ids: number[] = [];
    let from = 0;
    for (const { 0: word, index } of text.matchAll(this.#words!)) {
      if (index > from) append(ids, this.#word(text.slice(from, index)));
      if (word !== "") append(ids, this.#word(word));
      from = index + word.length;
    }
    if (from < text.length) append(ids, this.#word(text.slice(from)));
    if (this.#knownSections.size >= sectionsRemembered) this.#knownSections.clear();
    if (text.length <= longestSection) this.#knownSections.set(text, ids);
    return ids;
  }

  #word(word: string): readonly number[] {
    const before = this.#knownWords.get(word);
    if (before !== undefined) return before;
    let bytes = "";
    for (const byte of Buffer.from(word)) bytes += byteCharacters[byte]!;
    const ids = this.#ofWords([bytes]);
    if (word.length > longestRemembered) return ids;
    if (this.#knownWords.size >= remembered) this.#knownWords.clear();
    this.#knownWords.set(word, ids);
    return ids;
  }
}

/** The expression that cuts text into the words of a byte-level BPE; undefined for others. */
function wordsOf(
  { normalizer, pre_tokenizer: cut, model }: Json,
  tokenizer: Tokenizer,
): RegExp | undefined {
  if (normalizer !== null && !(isRecord(normalizer) && normalizer["type"] === "NFC")) return;
  if (!isRecord(model) || model["type"] !== "BPE" || model["byte_fallback"] === true) return;
  if (!isRecord(cut)) return;
  const parts = (cut["type"] === "Sequence" ? cut["pretokenizers"] : [cut]) as readonly Json[];
  const bytes = parts.at(-1)!;
  if (bytes["type"] !== "ByteLevel" || bytes["add_prefix_space"] === true) return;
  if (parts.length === 1) return bytes["use_regex"] === false ? /[^]+/gu : gpt2Words;
  const split = parts[0]!;
  if (parts.length > 2 || bytes["use_regex"] !== false || split["type"] !== "Split") return;
  if (split["behavior"] !== "Isolated" || split["invert"] === true) return;
  // As the library has rewritten it for JavaScript.
  const sequence = tokenizer.pre_tokenizer as {
    readonly tokenizers?: readonly { pattern?: RegExp }[];
  } | null;
  return sequence?.tokenizers?.[0]?.pattern;
}

/** As in Radford et al., 2019 (GPT-2); what is blank is what Unicode calls so. */
const gpt2Words =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;

/** The character that stands for each byte: itself if it can be seen, else one from U+0100 on. */
const byteCharacters: readonly string[] = (() => {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const seen = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte !== 0xad);
    return String.fromCharCode(seen ? byte : next++);
  });
})();

/** A text without its unknown characters where the model has no token for them. */
function known(ids: readonly (number | undefined)[]): number[] {
  return ids.includes(undefined) ? ids.filter((id) => id !== undefined) : (ids as number[]);
}

/** Not by spreading: a long text has more tokens than a call may have arguments. */
function append(ids: number[], more: readonly number[]): void {
  for (let at = 0; at < more.length; at++) ids.push(more[at]!);
}
