import { blockMarks, compileTemplate, TemplateRefusal } from "../model/template.ts";
import type { Render } from "../model/template.ts";
import type { ModelTokenizer } from "../model/tokenizer.ts";
import type { Message } from "../dataset/canonical.ts";
import type { ToolCall } from "../dataset/tools.ts";
import type { Families, Family } from "./families.ts";

/** Around the name of a control token in a row, so that it is tokenised as the text that it is. */
const [open, close] = ["\u{f0000}", "\u{f0001}"];
/** No character, so that no answer starts with it. */
const other = "\ufdd0";

/** The text of a conversation up to an answer, which is text[start, end) in it. */
interface Answer {
  readonly text: string;
  readonly start: number;
  /** Undefined: behind the first token that ends a turn. */
  readonly end: number | undefined;
  /** Whether the template opens the answer as it ends a prompt. */
  readonly header: boolean;
}

/**
 * Conversations as the model's own chat template writes them, and where in them the answers are:
 * the training program's chat.py, whose tokens these must be.
 */
export class Chat {
  readonly family: Family | undefined;
  /** Conversations that the family's template writes otherwise. */
  unlike = 0;
  readonly #tokenizer: ModelTokenizer;
  readonly #control: RegExp | undefined;
  readonly #marks: RegExp;
  readonly #own = new Map<string, Render>();

  /** @throws Error if the model's template cannot be read here */
  constructor(tokenizer: ModelTokenizer, { families, probes }: Families) {
    this.#tokenizer = tokenizer;
    const control = alternatives(tokenizer.controlTokens);
    this.#control = control === "" ? undefined : new RegExp(control, "g");
    const added = alternatives(tokenizer.addedTokens) || "(?!)";
    this.#marks = new RegExp(`${open}(${added})${close}|[${open}${close}]`, "u");
    this.#template(undefined);
    this.family = families.find((family) => this.#isOf(family, probes));
  }

  /**
   * What inference sees; with `prompt`, up to where the next answer starts.
   *
   * @throws TemplateRefusal
   */
  write(messages: readonly Message[], tools: string | undefined, prompt = false): string {
    const { render, source } = this.#template(tools);
    return render(this.#values(source, messages, tools, prompt));
  }

  /** The conversation whose last turn is the answer. */
  answer(messages: readonly Message[], tools: string | undefined): Answer {
    const text = this.write(messages, tools);
    const prompt = this.write(messages.slice(0, -1), tools, true);
    if (this.family !== undefined) {
      const marked = this.#marked(this.family, messages, tools);
      if (marked?.text === text) {
        // Some templates show a system turn only while no answer follows: inference decides.
        const whole = prompt + text.slice(marked.start, marked.end);
        return { text: whole, start: prompt.length, end: whole.length, header: true };
      }
      this.unlike += 1;
    }
    if (text.startsWith(prompt)) {
      return { text, start: prompt.length, end: undefined, header: true };
    }
    // Where another answer makes another text: no word of the prompt may be trained.
    const last: Message = { role: "assistant", content: other };
    const start = commonPrefix(text, this.write([...messages.slice(0, -1), last], tools));
    return { text, start, end: undefined, header: false };
  }

  /** Tokens of what `write` returns; names of control tokens in rows are text. */
  encode(text: string): number[] {
    if (!text.includes(open) && !text.includes(close)) return this.#tokenizer.encode(text);
    const pieces = text.split(this.#marks);
    const ids = this.#tokenizer.encode(pieces[0]!);
    for (const [at, piece] of pieces.entries()) {
      if (at === 0 || piece === undefined || piece === "") continue;
      const more = this.#encodePiece(piece, at % 2 === 1);
      if (at % 2 === 1 && more.includes(this.#tokenizer.idOf(piece) ?? -1)) {
        throw new TemplateRefusal(`its tokenizer cannot write ${piece} as text`);
      }
      for (const id of more) ids.push(id);
    }
    return ids;
  }

  /** A piece from the middle: behind a line break no tokenizer adds the blank that starts a text. */
  #encodePiece(piece: string, asText: boolean): number[] {
    const encode = (text: string) =>
      asText ? this.#tokenizer.encodePlain(text) : this.#tokenizer.encode(text);
    const line = this.#tokenizer.encode("\n");
    const ids = encode(`\n${piece}`);
    return line.every((id, at) => ids[at] === id) ? ids.slice(line.length) : encode(piece);
  }

  #template(tools: string | undefined): { readonly render: Render; readonly source: string } {
    const source = this.#tokenizer.template(tools !== undefined);
    let render = this.#own.get(source);
    if (render === undefined) this.#own.set(source, (render = compileTemplate(source)));
    return { render, source };
  }

  /** Whether both templates write the same, and open answers as a prompt ends. */
  #isOf(family: Family, probes: Families["probes"]): boolean {
    let alike = false;
    for (const { messages, tools } of probes) {
      let own: string;
      let prompt: string;
      try {
        own = this.write(messages, tools);
        prompt = this.write(messages.slice(0, -1), tools, true);
      } catch {
        continue; // No family for a system, say.
      }
      const marked = this.#marked(family, messages, tools);
      if (marked?.text !== own) return false;
      const question = messages.at(-2)!.content.trim();
      if (behind(question, own.slice(0, marked.start)) !== behind(question, prompt)) return false;
      alike = true;
    }
    return alike;
  }

  /** The family's text and where its last answer is; undefined if it cannot write it. */
  #marked(
    family: Family,
    messages: readonly Message[],
    tools: string | undefined,
  ): { readonly text: string; readonly start: number; readonly end: number } | undefined {
    let text: string;
    try {
      const { source } = this.#template(tools);
      const values = this.#values(source, messages, tools, false);
      text = family.render({ ...values, ...family.arguments });
    } catch {
      return undefined;
    }
    const pieces = text.split(blockMarks.start);
    if (pieces.length === 1) return undefined;
    const [answer, ...rest] = pieces.pop()!.split(blockMarks.end);
    const before = pieces.join("").replaceAll(blockMarks.end, "");
    const end = before.length + answer!.length;
    return { text: before + answer! + rest.join(""), start: before.length, end };
  }

  #values(
    source: string,
    messages: readonly Message[],
    tools: string | undefined,
    prompt: boolean,
  ): Record<string, unknown> {
    const developer = source.includes("developer") ? "developer" : "system";
    return {
      messages: messages.map((message) => this.#plain(message, developer)),
      tools: tools === undefined ? null : this.#mark(JSON.parse(tools)),
      documents: null,
      add_generation_prompt: prompt,
      ...this.#tokenizer.specialTokens,
    };
  }

  /** A message as templates know it: without what is ours, arguments as objects. */
  #plain(message: Message, developer: string): Record<string, unknown> {
    const plain = this.#mark(message) as Record<string, unknown>;
    delete plain["weight"];
    const thoughts = plain["reasoning_content"];
    if (message.role === "developer") plain["role"] = developer;
    if (message.tool_calls !== undefined) {
      plain["tool_calls"] = message.tool_calls.map((call) => this.#call(call));
    }
    return thoughts === undefined ? plain : { thinking: thoughts, ...plain };
  }

  #call({ id, function: called }: ToolCall): Record<string, unknown> {
    const name = this.#mark(called.name);
    const values = this.#mark(JSON.parse(called.arguments));
    return {
      ...(id === undefined ? {} : { id: this.#mark(id) }),
      type: "function",
      function: { name, arguments: values },
    };
  }

  /** A row's value with the names of control tokens in all its texts marked, keys included. */
  #mark(value: unknown): unknown {
    if (typeof value === "string") {
      const text = value.replaceAll(open, "").replaceAll(close, "");
      return this.#control === undefined ? text : text.replace(this.#control, `${open}$&${close}`);
    }
    if (Array.isArray(value)) return value.map((item) => this.#mark(item));
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [this.#mark(key), this.#mark(item)]),
    );
  }
}

/** Longer ones first: they go before those that they hold. */
function alternatives(texts: readonly string[]): string {
  return [...texts]
    .sort((one, two) => two.length - one.length)
    .map((text) => text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"))
    .join("|");
}

function behind(part: string, text: string): string {
  return text.slice(text.lastIndexOf(part) + part.length);
}

function commonPrefix(one: string, two: string): number {
  let at = 0;
  while (at < one.length && at < two.length && one[at] === two[at]) at += 1;
  return at;
}
