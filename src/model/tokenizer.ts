import { Tokenizer } from "@huggingface/tokenizers";
import { isRecord } from "../base/json.ts";
import { inexactParts } from "./tokenizer-exact.ts";
import { SectionEncoder } from "./tokenizer-sections.ts";

/** What of a base model tells how text becomes tokens, as JSON.parse gives the files. */
export interface TokenizerFiles {
  /** tokenizer.json */
  readonly tokenizer: Readonly<Record<string, unknown>>;
  /** tokenizer_config.json */
  readonly settings: Readonly<Record<string, unknown>>;
  /** special_tokens_map.json of older models. */
  readonly specials: Readonly<Record<string, unknown>>;
  /** chat_template.jinja, which goes before the one in tokenizer_config.json. */
  readonly template: string | undefined;
  readonly config: Readonly<Record<string, unknown>>;
  readonly generation: Readonly<Record<string, unknown>>;
}

/** For base models without a chat template, as the training program writes it (model.py). */
const plainTemplate =
  "{% for message in messages %}" +
  "{{ '### ' + message['role'] | capitalize + ':\n' + message['content'] }}" +
  "{{ eos_token if message['role'] == 'assistant' else '' }}{{ '\n\n' }}" +
  "{% endfor %}" +
  "{% if add_generation_prompt %}{{ '### Assistant:\n' }}{% endif %}";

const specialNames = ["bos", "eos", "unk", "sep", "pad", "cls", "mask"].map(
  (name) => `${name}_token`,
);

/** How a model's text becomes tokens: what transformers' tokenizer does, in this process. */
export class ModelTokenizer {
  /** Why tokens may differ from those that training sees; empty where they are the same. */
  readonly estimates: readonly string[];
  /** bos_token, eos_token and so on, as far as the model has them. */
  readonly specialTokens: Readonly<Record<string, string>>;
  /** Texts that are one token wherever they stand. */
  readonly addedTokens: readonly string[];
  /** Those of them that only templates may write. */
  readonly controlTokens: readonly string[];
  readonly bosId: number | undefined;
  readonly eosId: number | undefined;
  /** Tokens that end a turn at inference. */
  readonly stopIds: ReadonlySet<number>;
  /** Tokens that the model can see at once. */
  readonly contextLength: number | undefined;
  readonly hasTemplate: boolean;
  readonly #tokenizer: Tokenizer;
  readonly #sections: SectionEncoder;
  readonly #templates: ReadonlyMap<string, string>;

  /** @throws Error if the files are no tokenizer that is known here */
  constructor(files: TokenizerFiles) {
    const { config, generation, settings } = files;
    const json = withAddedTokens(files);
    this.specialTokens = json.specialTokens;
    this.#tokenizer = new Tokenizer(json.tokenizer, { clean_up_tokenization_spaces: false });
    this.#sections = new SectionEncoder(this.#tokenizer, json.tokenizer);
    this.addedTokens = json.added.map(({ content }) => content);
    this.controlTokens = json.added.filter(({ special }) => special).map(({ content }) => content);
    this.#templates = templatesOf(files);
    this.hasTemplate = this.#templates.size > 0;
    this.bosId = this.idOf(this.specialTokens["bos_token"]);
    this.eosId = this.idOf(this.specialTokens["eos_token"]);
    const nested = isRecord(config["text_config"]) ? config["text_config"] : config;
    const stops = generation["eos_token_id"] ?? config["eos_token_id"] ?? nested["eos_token_id"];
    const ids = [this.eosId, ...(Array.isArray(stops) ? (stops as unknown[]) : [stops])];
    this.stopIds = new Set(ids.filter((id) => typeof id === "number"));
    const context = nested["max_position_embeddings"];
    this.contextLength = typeof context === "number" ? context : undefined;
    this.estimates = inexactParts(json.tokenizer, settings, config);
  }

  /** Tokens of text as it stands in a conversation; names of added tokens are those tokens. */
  encode(text: string): number[] {
    return this.#sections.encode(text);
  }

  /** Tokens of text that is trained on as it is: with what the tokenizer puts around every text. */
  encodeText(text: string): number[] {
    return this.#tokenizer.encode(text).ids;
  }

  /** Tokens of text in which names of added tokens are just text. */
  encodePlain(text: string): number[] {
    return this.#sections.encodePlain(text);
  }

  decode(ids: readonly number[]): string {
    return ids.length === 0 ? "" : this.#tokenizer.decode([...ids]);
  }

  idOf(token: string | undefined): number | undefined {
    return token === undefined ? undefined : this.#tokenizer.token_to_id(token);
  }

  /** The template that a conversation is written with. */
  template(hasTools: boolean): string {
    const named = hasTools ? this.#templates.get("tool_use") : undefined;
    return named ?? this.#templates.get("default") ?? plainTemplate;
  }
}

interface Added {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
}

/** tokenizer.json with the tokens that tokenizer_config.json adds or declares special. */
function withAddedTokens({ tokenizer, settings, specials }: TokenizerFiles): {
  readonly tokenizer: Record<string, unknown>;
  readonly added: readonly Added[];
  readonly specialTokens: Record<string, string>;
} {
  const added = new Map<string, Record<string, unknown>>();
  const listed = Array.isArray(tokenizer["added_tokens"]) ? tokenizer["added_tokens"] : [];
  for (const token of listed as unknown[]) {
    if (isRecord(token)) added.set(String(token["content"]), token);
  }
  const decoder = isRecord(settings["added_tokens_decoder"])
    ? settings["added_tokens_decoder"]
    : {};
  for (const [id, token] of Object.entries(decoder)) {
    if (isRecord(token)) added.set(String(token["content"]), { ...token, id: Number(id) });
  }
  const specialTokens: Record<string, string> = {};
  for (const name of specialNames) {
    const content = contentOf(settings[name]) ?? contentOf(specials[name]);
    if (content !== undefined) specialTokens[name] = content;
  }
  const vocabulary = vocabularyOf(tokenizer["model"]);
  const ids = [...vocabulary.values(), ...[...added.values()].map((token) => Number(token["id"]))];
  let next = ids.reduce((most, id) => Math.max(most, id), -1) + 1;
  const extra = [settings, specials].flatMap((of) => [
    ...listOf(of["additional_special_tokens"]),
    ...listOf(of["extra_special_tokens"]),
  ]);
  for (const content of [...Object.values(specialTokens), ...extra]) {
    const known = added.get(content);
    const id = Number(known?.["id"] ?? vocabulary.get(content) ?? next);
    if (id === next) next += 1;
    added.set(content, {
      lstrip: false,
      rstrip: false,
      normalized: false,
      ...known,
      content,
      id,
      special: true,
    });
  }
  const tokens = [...added.values()];
  return {
    tokenizer: { ...tokenizer, added_tokens: tokens },
    added: tokens.map((token) => ({
      id: Number(token["id"]),
      content: String(token["content"]),
      special: token["special"] === true,
    })),
    specialTokens,
  };
}

function vocabularyOf(model: unknown): Map<string, number> {
  const vocabulary = isRecord(model) ? model["vocab"] : undefined;
  if (Array.isArray(vocabulary)) {
    return new Map(vocabulary.map((entry: unknown, id) => [String((entry as unknown[])[0]), id]));
  }
  return new Map(isRecord(vocabulary) ? (Object.entries(vocabulary) as [string, number][]) : []);
}

function contentOf(token: unknown): string | undefined {
  if (typeof token === "string") return token;
  return isRecord(token) && typeof token["content"] === "string" ? token["content"] : undefined;
}

function listOf(tokens: unknown): string[] {
  const list = isRecord(tokens) ? Object.values(tokens) : Array.isArray(tokens) ? tokens : [];
  return (list as unknown[]).map(contentOf).filter((content) => content !== undefined);
}

function templatesOf({ template, settings }: TokenizerFiles): Map<string, string> {
  const own = template ?? settings["chat_template"];
  if (typeof own === "string") return new Map([["default", own]]);
  const named = new Map<string, string>();
  for (const entry of Array.isArray(own) ? (own as unknown[]) : []) {
    if (isRecord(entry)) named.set(String(entry["name"]), String(entry["template"]));
  }
  return named;
}
