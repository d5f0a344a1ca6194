import { isUtf8 } from "node:buffer";
import { isRecord } from "../../base/json.ts";
import { canonicalRow } from "../canonical.ts";
import type { CanonicalRow, Message } from "../canonical.ts";
import { adapt, fits, formName, formOf, placeIn } from "../forms/form.ts";
import type { Form } from "../forms/form.ts";
import { field, RowProblem } from "../problem.ts";
import type { Frame } from "../read/frame.ts";
import type { Layout } from "../read/layout.ts";
import type { RawRow, RowFault } from "../read/rows.ts";
import { parseFrame } from "../read/rows.ts";
import { refuseExcess } from "../read/scan.ts";
import { Unreadable } from "../read/unreadable.ts";
import { splitKey } from "../split.ts";
import type { Level, RuleCode } from "./catalog.ts";
import { endsInSentence } from "./cut.ts";
import { findDuplicateKey } from "./duplicate-keys.ts";
import { hasOpenFence } from "./fence.ts";
import { Findings } from "./findings.ts";
import type { FindingsPart, Place } from "./findings.ts";
import { findControl, findInvisible } from "./invisible.ts";
import { findPersonal } from "./personal.ts";
import { plainChat, plainKeys } from "./plain-chat.ts";
import { prefixLength } from "./prefixes.ts";
import { isRefusal } from "./refusal.ts";
import { isRepetitive } from "./repetition.ts";
import { findSecrets } from "./secrets.ts";
import { findSpecialToken } from "./special-tokens.ts";
import { lengthBins, binOf } from "./stats.ts";
import { findFaults, findUnknownKey } from "./structure.ts";
import { seen, sketchBytes, TextScan } from "./text-scan.ts";

/** What a checker needs to know, as plain data: workers get it too. */
export interface CheckerSettings {
  readonly form: Form;
  readonly container: Layout["container"];
  readonly levels: Readonly<Record<RuleCode, Level>>;
  /** Infinity for all. */
  readonly maxPlaces: number;
  readonly groupBy?: string | undefined;
  /** The split's keys are asked for. */
  readonly splitKeys: boolean;
}

/** What one part of a file holds. Arrays have an entry a row; rows and lines count from the part's first. */
export interface PartResult extends FindingsPart {
  readonly rows: number;
  /** Index, in the part, of each row that has an error. */
  readonly bad: readonly number[];
  readonly lines: Uint32Array;
  /** What a row says (see TextScan.identity), NaN for one that could not be read. */
  readonly identities: Float64Array;
  readonly prompts: Float64Array;
  readonly sketches: Uint8Array;
  readonly splitKeys: BigUint64Array | null;
  /** Rows of each form that is not the expected one, with an example of its fields. */
  readonly otherForms: ReadonlyMap<string, number>;
  readonly prefixes: ReadonlyMap<string, number>;
  readonly answers: number;
  readonly promptLengths: Uint32Array;
  readonly answerLengths: Uint32Array;
  readonly turns: number;
  readonly ungrouped: number;
  readonly names: ReadonlySet<string>;
}

const keptNames = 1000;
const roleMarks: Readonly<Record<Message["role"], number>> = {
  system: 1,
  developer: 2,
  user: 3,
  assistant: 4,
  tool: 5,
};

/** Checks the rows of one file, a part at a time. */
export class RowChecker {
  readonly #settings: CheckerSettings;
  readonly #scan = new TextScan();
  #part!: Part;
  /** The row as it was written. */
  #value: unknown;

  constructor(settings: CheckerSettings) {
    this.#settings = settings;
  }

  /** Rows of JSON, as they were cut. */
  checkFrames(frames: readonly Frame[]): PartResult {
    this.#begin(frames.length);
    for (const [index, frame] of frames.entries()) {
      this.#part.lines[index] = frame.line;
      this.#guard(index, frame.line, () => this.#checkFrame(frame, index));
    }
    return this.#part;
  }

  /** Rows of a table. */
  checkRows(rows: readonly RawRow[]): PartResult {
    this.#begin(rows.length);
    for (const [index, { value, line, problem }] of rows.entries()) {
      this.#part.lines[index] = line;
      if (problem !== undefined) {
        const code = /cells/.test(problem.message) ? "ragged-row" : "syntax";
        this.#unreadable(code, problem, index, line);
      } else {
        this.#guard(index, line, () => this.#checkValue(value, index, line));
      }
    }
    return this.#part;
  }

  #begin(rows: number): void {
    const { maxPlaces, splitKeys } = this.#settings;
    this.#part = new Part(rows, maxPlaces, splitKeys);
  }

  #guard(index: number, line: number, check: () => void): void {
    try {
      check();
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error;
      const { message, offset } = error;
      this.#unreadable(codeOfUnreadable(message), { message, offset }, index, line);
    }
  }

  #unreadable(code: RuleCode, { message, offset }: RowFault, index: number, line: number): void {
    this.#part.identities[index] = NaN;
    const place = offset === undefined ? {} : { offset };
    this.#add(code, index, { line, detail: message, ...place });
  }

  #add(code: RuleCode, index: number, place: Omit<Place, "file" | "row">): void {
    const level = this.#settings.levels[code];
    if (level === "off") return;
    if (level === "error") this.#part.spoil(index);
    this.#part.add(code, { file: 0, row: index + 1, ...place });
  }

  #checkFrame(frame: Frame, index: number): void {
    const { bytes } = frame;
    if (!isUtf8(bytes)) parseFrame(frame, { container: this.#settings.container, start: 0 });
    if (bytes.length > 2000) refuseExcess(bytes, frame.offset);
    const text = bytes.toString();
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      value = parseFrame(frame, { container: this.#settings.container, start: 0 });
    }
    const { form, groupBy } = this.#settings;
    const plain =
      form.kind === "chat" && form.field === "messages" && groupBy === undefined && isRecord(value)
        ? plainChat(value)
        : undefined;
    const keys = plain === undefined ? undefined : plainKeys(plain.length);
    const twice = findDuplicateKey(text, value, keys);
    if (twice !== undefined) {
      this.#add("duplicate-key", index, { line: frame.line, field: twice });
    }
    if (plain === undefined) return this.#checkValue(value, index, frame.line);
    this.#value = null;
    const { splitKeys } = this.#part;
    if (splitKeys !== null) splitKeys[index] = splitKey({ messages: plain });
    this.#checkMessages(plain, undefined, null, index, frame.line);
  }

  #checkValue(value: unknown, index: number, line: number): void {
    const part = this.#part;
    const { form, groupBy } = this.#settings;
    this.#value = value;
    if (!isRecord(value)) {
      part.identities[index] = NaN;
      return this.#add("not-an-object", index, { line });
    }
    if (groupBy !== undefined && part.names.size < keptNames) {
      for (const name of Object.keys(value)) part.names.add(name);
    }
    let row: CanonicalRow;
    try {
      if (!fits(form, value)) return this.#misfit(value, index, line);
      row = canonicalRow(adapt(form, value, groupBy), groupBy);
    } catch (error) {
      if (!(error instanceof RowProblem)) throw error;
      part.identities[index] = NaN;
      for (const { code, field: path, detail } of findFaults(form, value, error)) {
        this.#add(code, index, { line, ...(path === "" ? {} : { field: path }), detail });
      }
      return;
    }
    if (groupBy !== undefined && row.group === undefined) part.ungrouped += 1;
    if (part.splitKeys !== null) part.splitKeys[index] = splitKey(row);
    if ("text" in row) this.#checkText(row.text, index, line);
    else this.#checkMessages(row.messages, row.tools, value, index, line);
  }

  /** A row without the fields of the form that most rows have. */
  #misfit(value: Record<string, unknown>, index: number, line: number): void {
    this.#part.identities[index] = NaN;
    const other = formOf(value);
    const names = Object.keys(value).slice(0, 6).map(shortName).join(", ");
    if (other === undefined) {
      const detail = names === "" ? "the row is empty" : `the row has ${names}`;
      return this.#add("unknown-form", index, { line, detail });
    }
    const key = JSON.stringify(other);
    this.#part.otherForms.set(key, (this.#part.otherForms.get(key) ?? 0) + 1);
    this.#add("mixed-forms", index, { line, detail: `this one is one of the ${formName(other)}` });
  }

  #checkMessages(
    messages: readonly Message[],
    tools: string | undefined,
    value: Record<string, unknown> | null,
    index: number,
    line: number,
  ): void {
    const { form } = this.#settings;
    const scan = this.#scan;
    const part = this.#part;
    scan.begin();
    let prompt = NaN;
    let promptLength = 0;
    let answerLength = 0;
    const last = messages.length - 1;
    for (let at = 0; at <= last; at++) {
      const { role, content, tool_calls: calls, weight } = messages[at]!;
      if (at === last) prompt = scan.identity;
      scan.separate(roleMarks[role]);
      const answer = role === "assistant";
      scan.add(content, role === "user" || answer);
      this.#checkContent(content, answer && weight !== 0, index, line, at, form, messages.length);
      if (calls !== undefined) {
        for (const call of calls) scan.add(call.function.name + call.function.arguments, true);
      }
      if (answer) answerLength += content.length;
      else promptLength += content.length;
    }
    if (tools !== undefined) scan.add(tools, false);
    part.turns += messages.length;
    part.identities[index] = scan.identity;
    part.prompts[index] = messages[last]?.role === "assistant" ? prompt : NaN;
    scan.writeSketch(part.sketches, index * sketchBytes);
    part.countLengths(promptLength, answerLength);
    if (form.kind === "alpaca" || form.kind === "columns") return;
    if (messages[last]?.role !== "assistant") this.#add("last-turn", index, { line });
    if (form.kind !== "chat" || value === null) return;
    const written = field(value, form.field);
    const unknown = Array.isArray(written) ? findUnknownKey(written) : undefined;
    if (unknown !== undefined) {
      this.#add("unknown-key", index, { line, field: placeIn(form, unknown) });
    }
  }

  #checkText(text: string, index: number, line: number): void {
    const { form } = this.#settings;
    const part = this.#part;
    this.#scan.begin();
    this.#scan.add(text, true);
    this.#checkContent(text, false, index, line, -1, form, 1);
    part.identities[index] = this.#scan.identity;
    part.prompts[index] = NaN;
    this.#scan.writeSketch(part.sketches, index * sketchBytes);
    part.countLengths(0, text.length);
  }

  /** What a text says; the scan has just read it. */
  #checkContent(
    text: string,
    answer: boolean,
    index: number,
    line: number,
    at: number,
    form: Form,
    count: number,
  ): void {
    const { flags } = this.#scan;
    const add = (code: RuleCode, detail?: string) => {
      const path = pathOf(form, at, count, this.#value);
      this.#add(code, index, { line, field: path, ...(detail === undefined ? {} : { detail }) });
    };
    if ((flags & seen.foreign) !== 0) {
      for (const [code, detail] of findInvisible(text)) add(code, detail);
      if (text.includes("\ufffd") && hasHalfPair(this.#value)) add("half-character");
    }
    if ((flags & seen.control) !== 0) add("control-character", findControl(text));
    if ((flags & (seen.angle | seen.bracket)) !== 0) {
      const special = findSpecialToken(text);
      if (special !== undefined) add("special-token", JSON.stringify(special));
    }
    if ((flags & (seen.digit | seen.at)) !== 0) {
      const has = { at: (flags & seen.at) !== 0, digit: (flags & seen.digit) !== 0 };
      const personal = findPersonal(text, has);
      if (personal.length > 0) add("personal-data", personal.join(", "));
    }
    const secrets = findSecrets(text, {
      longToken: (flags & seen.longToken) !== 0,
      slash: (flags & seen.slash) !== 0,
      dash: (flags & seen.dash) !== 0,
    });
    if (secrets.length > 0) add("secret", `of the kind ${secrets.join(", ")}`);
    if (!answer) return;
    if (isRefusal(text)) add("refusal");
    if (isRepetitive(text, this.#scan)) add("repetition");
    if ((flags & seen.backtick) !== 0 || text.includes("~~~")) {
      if (hasOpenFence(text)) add("open-fence");
    }
    if (endsInSentence(text)) add("cut-sentence");
    const part = this.#part;
    part.answers += 1;
    if (text.length > prefixLength) {
      const prefix = text.slice(0, prefixLength);
      part.prefixes.set(prefix, (part.prefixes.get(prefix) ?? 0) + 1);
    }
  }
}

/** A part while it is made. */
class Part extends Findings implements PartResult {
  readonly rows: number;
  readonly bad: number[] = [];
  readonly lines: Uint32Array;
  readonly identities: Float64Array;
  readonly prompts: Float64Array;
  readonly sketches: Uint8Array;
  readonly splitKeys: BigUint64Array | null;
  readonly otherForms = new Map<string, number>();
  readonly prefixes = new Map<string, number>();
  answers = 0;
  readonly promptLengths = new Uint32Array(lengthBins);
  readonly answerLengths = new Uint32Array(lengthBins);
  turns = 0;
  ungrouped = 0;
  readonly names = new Set<string>();

  constructor(rows: number, maxPlaces: number, splitKeys: boolean) {
    super(maxPlaces);
    this.rows = rows;
    this.lines = new Uint32Array(rows);
    this.identities = new Float64Array(rows);
    this.prompts = new Float64Array(rows).fill(NaN);
    this.sketches = new Uint8Array(rows * sketchBytes);
    this.splitKeys = splitKeys ? new BigUint64Array(rows) : null;
  }

  spoil(index: number): void {
    if (this.bad.at(-1) !== index) this.bad.push(index);
  }

  countLengths(prompt: number, answer: number): void {
    this.promptLengths[binOf(prompt)]! += 1;
    this.answerLengths[binOf(answer)]! += 1;
  }
}

/** Where in the row as it was written the message of a canonical row comes from. */
function pathOf(form: Form, at: number, count: number, value: unknown): string {
  switch (form.kind) {
    case "chat":
    case "sharegpt":
      return placeIn(form, `messages[${at}].content`);
    case "alpaca":
      if (at === 0) return "instruction";
      return isRecord(value) && field(value, "output") === undefined ? "content" : "output";
    case "columns":
      if (at === count - 1) return form.completion;
      return count === 3 && at === 0 ? form.system! : form.prompt;
    case "preference":
      return at === count - 1 ? "chosen" : "prompt";
    case "text":
      return form.field;
  }
}

/** Whether half a surrogate pair stands somewhere in a value: U+FFFD takes its place. */
function hasHalfPair(value: unknown): boolean {
  if (typeof value === "string") return !value.isWellFormed();
  if (typeof value !== "object" || value === null) return false;
  return Object.entries(value).flat().some(hasHalfPair);
}

function codeOfUnreadable(message: string): RuleCode {
  if (/not UTF-8/.test(message)) return "encoding";
  if (message.includes("NUL byte") || message.includes("\\u0000")) return "nul-byte";
  if (/nested more|million values/.test(message)) return "too-deep";
  return /JSON has no/.test(message) ? "not-a-number" : "syntax";
}

function shortName(name: string): string {
  return JSON.stringify(name.length > 40 ? `${name.slice(0, 40)}...` : name);
}
