import { TemplateRefusal } from "../model/template.ts";
import type { ModelTokenizer } from "../model/tokenizer.ts";
import type { CanonicalRow, Message } from "../dataset/canonical.ts";
import { Chat } from "./chat.ts";
import type { Conversation, Families } from "./families.ts";

/** One sequence to train on. */
export interface Sample {
  readonly ids: readonly number[];
  /** [from, to) of tokens that are learned, in order, apart from each other. */
  readonly learned: readonly (readonly [number, number])[];
}

/** What the template would leave out of a row that an answer rests on: "tools", say. */
export class TemplateDrops extends Error {
  readonly part: string;

  constructor(part: string) {
    super(`the model's chat template leaves out ${part}`);
    this.part = part;
  }
}

/** The template does what cannot be done here; training may well be able to. */
export class Unrendered extends Error {}

/**
 * Canonical rows -> the sequences that the training program makes of them, token for token: its
 * data.py, in TypeScript. `estimates` says where that cannot be promised.
 */
export class SampleMaker {
  readonly tokenizer: ModelTokenizer;
  readonly chat: Chat;
  readonly estimates: readonly string[];
  /** Answers that start a sequence of their own, because the template rewrites earlier turns. */
  rewritten = 0;
  /** Answers that the template opens otherwise than a prompt ends. */
  otherHeader = 0;
  /** Answers without a token to stop at. */
  endless = 0;
  readonly #shown = new Set<string>();

  constructor(tokenizer: ModelTokenizer, families: Families) {
    this.tokenizer = tokenizer;
    this.chat = new Chat(tokenizer, families);
    this.estimates = tokenizer.estimates;
  }

  /** @throws TemplateRefusal, TemplateDrops, Unrendered */
  samples(row: CanonicalRow): Sample[] {
    if ("text" in row) return [this.#text(row.text)];
    try {
      for (const part of partsOf(row)) {
        if (this.#shown.has(part.kind)) continue;
        if (!this.#shows(part, row)) throw new TemplateDrops(part.kind);
        this.#shown.add(part.kind);
      }
      return this.#conversation(row);
    } catch (error) {
      if (error instanceof TemplateRefusal || error instanceof TemplateDrops) throw error;
      throw new Unrendered(error instanceof Error ? error.message : String(error), {
        cause: error,
      });
    }
  }

  #text(text: string): Sample {
    const ids = this.tokenizer.encodeText(text);
    const end = this.tokenizer.eosId;
    if (end !== undefined && ids.at(-1) !== end) ids.push(end);
    return { ids, learned: [[0, ids.length]] };
  }

  #conversation({ messages, tools }: Conversation): Sample[] {
    const samples: Sample[] = [];
    let ids: readonly number[] = [];
    let learned: [number, number][] = [];
    for (const [index, { role, weight }] of messages.entries()) {
      if (role !== "assistant") continue;
      const { start, whole } = this.#answer(messages.slice(0, index + 1), tools);
      if (!startsWith(whole, ids)) {
        // The template rewrites earlier turns (drops their reasoning, say): for this answer
        // inference sees another sequence than the one so far, so that one ends here.
        this.rewritten += 1;
        if (learned.length > 0) samples.push({ ids, learned });
        [ids, learned] = [[], []];
      }
      // Python's slices: what the prompt and the sequence so far share is not answered twice.
      const from = Math.max(start, ids.length);
      if (weight !== 0 && whole.length > from) learned.push([from, whole.length]);
      ids = whole;
    }
    if (ids.length > 0) samples.push({ ids, learned });
    return samples;
  }

  #answer(
    messages: readonly Message[],
    tools: string | undefined,
  ): { readonly start: number; readonly whole: number[] } {
    const { text, start: at, end, header } = this.chat.answer(messages, tools);
    if (!header) this.otherHeader += 1;
    const prompt = this.chat.encode(text.slice(0, at));
    const { start, whole } = this.#join(prompt, this.chat.encode(text.slice(0, end)));
    if (end === undefined) return { start, whole: whole.slice(0, this.#end(whole, start)) };
    if (!this.tokenizer.stopIds.has(whole.at(-1)!)) this.endless += 1;
    return { start, whole };
  }

  /** Nothing that an answer rests on may be left out by the template without a word. */
  #shows(part: Part, row: Conversation): boolean {
    const { messages, tools } = replaced(part, row);
    // Some templates show a system turn in prompts alone, others their last answer alone.
    if (this.chat.write(messages, tools).includes(probe)) return true;
    return this.chat.write(messages.slice(0, -1), tools, true).includes(probe);
  }

  /**
   * Inference tokenises the prompt alone. Behind it a tokenizer may cut the same text otherwise; the
   * prompt's own tokens are what the model will see.
   */
  #join(prompt: number[], whole: number[]): { readonly start: number; readonly whole: number[] } {
    const start = commonPrefix(prompt, whole);
    if (start === prompt.length) return { start, whole };
    const text = this.tokenizer.decode(prompt.slice(start));
    for (let end = start + 1; end < whole.length; end++) {
      const same = this.tokenizer.decode(whole.slice(start, end));
      if (same === text) return { start: prompt.length, whole: [...prompt, ...whole.slice(end)] };
      if (same.length > text.length) break;
    }
    this.otherHeader += 1;
    return { start, whole };
  }

  /** Behind the first token that ends the turn; what the template writes after that goes. */
  #end(whole: readonly number[], start: number): number {
    for (let at = start; at < whole.length; at++) {
      if (this.tokenizer.stopIds.has(whole[at]!)) return at + 1;
    }
    this.endless += 1;
    return whole.length;
  }
}

const probe = "moxiprobe";

/** Something of a conversation that templates may leave out; `at` is the message that has it. */
interface Part {
  readonly kind: string;
  readonly at: number;
}

/** What of a row's conversation not every template shows. */
function* partsOf({ messages, tools }: Conversation): Generator<Part> {
  if (tools !== undefined) yield { kind: "tools", at: 0 };
  for (const [at, message] of messages.entries()) {
    const { role } = message;
    if (role === "system" || role === "developer" || role === "tool") {
      yield { kind: `turns of the ${role}`, at };
    }
    if (message.tool_calls !== undefined) yield { kind: "tool calls", at };
    if (message.reasoning_content !== undefined) yield { kind: "reasoning", at };
  }
}

/** The row up to a part and the answer to it, with the probe in the part's place. */
function replaced({ kind, at }: Part, row: Conversation): Conversation {
  const messages = [...row.messages];
  const message = messages[at]!;
  let { tools } = row;
  if (kind === "tools") {
    tools = JSON.stringify([{ type: "function", function: { name: probe, parameters: {} } }]);
  } else if (kind === "tool calls") {
    const calls = message.tool_calls!.map((call) => ({
      ...call,
      function: { ...call.function, name: probe },
    }));
    messages[at] = { ...message, tool_calls: calls };
  } else if (kind === "reasoning") messages[at] = { ...message, reasoning_content: probe };
  else messages[at] = { ...message, content: probe };
  const answer = messages.findIndex(({ role }, index) => index >= at && role === "assistant");
  const end = (answer === -1 ? messages.length - 1 : answer) + 1;
  return { messages: messages.slice(0, end), ...(tools === undefined ? {} : { tools }) };
}

function startsWith(whole: readonly number[], start: readonly number[]): boolean {
  return start.length <= whole.length && commonPrefix(whole, start) === start.length;
}

function commonPrefix(one: readonly number[], two: readonly number[]): number {
  let at = 0;
  while (at < one.length && at < two.length && one[at] === two[at]) at += 1;
  return at;
}
