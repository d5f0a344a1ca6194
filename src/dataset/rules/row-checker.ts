import { isUtf8 } from "node:buffer";
import { isRecord } from "../../base/json.ts";
import { canonicalRow } from "../canonical.ts";
import type { CanonicalRow, Message, Role } from "../canonical.ts";
import { adapt, fits, formName, formOf } from "../forms/form.ts";
import type { Form } from "../forms/form.ts";
import { placeIn, placeOfMessage } from "../forms/place.ts";
import { Kernel, roleMarks, seen, sketchBytes } from "../kernel/kernel.ts";
import type { Scanned } from "../kernel/kernel.ts";
import { hideSecrets } from "../hide-secrets.ts";
import { field, quoted, RowProblem } from "../problem.ts";
import type { Frame } from "../read/frame.ts";
import type { Layout } from "../read/layout.ts";
import { parcelBytes } from "../read/parcel.ts";
import type { CutRows, Parcel } from "../read/parcel.ts";
import { isSpace } from "../read/partial-row.ts";
import { readStretch } from "../read/stretch.ts";
import type { Lines, Stretch } from "../read/stretch.ts";
import type { RawRow, RowFault } from "../read/rows.ts";
import { parseFrame } from "../read/rows.ts";
import { Unreadable } from "../read/unreadable.ts";
import { splitKey } from "../split.ts";
import type { Level, RuleCode } from "./catalog.ts";
import { findInText, needsLook } from "./content.ts";
import { findDuplicateKey } from "./duplicate-keys.ts";
import type { Place } from "./findings.ts";
import { Part } from "./part.ts";
import type { PartResult } from "./part.ts";
import { findFaults, findUnknownKey } from "./structure.ts";

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

/** A file of lines that is open, for whoever checks it. */
export interface LinesFile {
  /** Its descriptor. */
  readonly file: number;
  /** Where its first line begins. */
  readonly start: number;
}

const lineFeed = 0x0a;
const keptNames = 1000;
const roleNames = Object.keys(roleMarks) as Role[];

/** Checks the rows of one file, a part at a time. */
export class RowChecker {
  readonly #settings: CheckerSettings;
  readonly #kernel = new Kernel();
  /** Rows as they are may be plain chats, which the kernel reads. */
  readonly #chats: boolean;
  #part!: Part;
  /** The row as it was written. */
  #value: unknown;

  constructor(settings: CheckerSettings) {
    this.#settings = settings;
    const { form, groupBy } = settings;
    this.#chats = form.kind === "chat" && form.field === "messages" && groupBy === undefined;
  }

  /** Rows of JSON. */
  checkParcel({ bytes: all, size, offset, rows }: Parcel): PartResult {
    const bytes = Buffer.from(all.buffer, all.byteOffset, size);
    const chats = this.#chats && size <= parcelBytes && isUtf8(bytes);
    if (chats) this.#kernel.load(bytes);
    this.#begin(rows?.ends.length ?? Math.ceil(size / 512));
    if (rows === undefined) this.#checkLines({ bytes, from: 0, offset }, chats);
    else this.#checkCut(bytes, rows, chats);
    return this.#part.result();
  }

  /** Rows of a file of lines, up to what cannot be read. */
  checkStretch(
    { file, start }: LinesFile,
    stretch: Stretch,
  ): { readonly part: PartResult; readonly unreadable: Unreadable | undefined } {
    const { rows } = this.#kernel;
    const lines = readStretch(file, stretch, start, rows);
    const { bytes } = lines;
    const chats = this.#chats && bytes.buffer === rows.buffer && isUtf8(bytes);
    if (chats) this.#kernel.endRows(bytes.length);
    this.#begin(Math.ceil(bytes.length / 512));
    this.#checkLines(lines, chats);
    return { part: this.#part.result(), unreadable: lines.unreadable };
  }

  /** Rows of a table. */
  checkRows(rows: readonly RawRow[]): PartResult {
    this.#begin(rows.length);
    for (const { value, line, problem } of rows) {
      const index = this.#part.begin(line);
      if (problem !== undefined) {
        const code = /cells/.test(problem.message) ? "ragged-row" : "syntax";
        this.#addUnreadable(code, problem, index, line);
      } else {
        this.#guard(index, line, () => this.#checkValue(value, index, line));
      }
    }
    return this.#part.result();
  }

  #begin(rows: number): void {
    const { maxPlaces, splitKeys } = this.#settings;
    this.#part = new Part(rows, maxPlaces, splitKeys);
  }

  #checkLines({ bytes, from, offset }: Lines, chats: boolean): void {
    let line = 0;
    for (let at = from; at < bytes.length; line++) {
      const messages = chats ? this.#kernel.readChat(at, false) : -1;
      if (messages !== -1 && bytes[this.#kernel.end] === lineFeed) {
        this.#checkChat(messages, this.#part.begin(line), line);
        at = this.#kernel.end + 1;
        continue;
      }
      const end = bytes.indexOf(lineFeed, at);
      const row = bytes.subarray(at, end);
      if (!row.every(isSpace)) this.#checkFrame({ bytes: row, offset: offset + at, line });
      at = end + 1;
    }
    this.#part.lineCount = line;
  }

  #checkCut(bytes: Buffer, { ends, lines, offsets }: CutRows, chats: boolean): void {
    let start = 0;
    for (let row = 0; row < ends.length; row++) {
      const [end, line] = [ends[row]!, lines[row]!];
      const messages = chats ? this.#kernel.readChat(start, true) : -1;
      // Blanks behind the row are read over; the next one is not.
      if (messages !== -1 && this.#kernel.end >= end && this.#kernel.end <= end + 1) {
        this.#checkChat(messages, this.#part.begin(line), line);
      } else {
        this.#checkFrame({ bytes: bytes.subarray(start, end), offset: offsets[row]!, line });
      }
      start = end + 1;
    }
  }

  #checkFrame(frame: Frame): void {
    const { line } = frame;
    const index = this.#part.begin(line);
    this.#guard(index, line, () => {
      const { container } = this.#settings;
      const { value, text } = parseFrame(frame, { container });
      const twice = findDuplicateKey(text, value);
      if (twice !== undefined) this.#add("duplicate-key", index, { line, field: twice });
      this.#checkValue(value, index, line);
    });
  }

  #guard(index: number, line: number, check: () => void): void {
    try {
      check();
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error;
      const { message, offset } = error;
      this.#addUnreadable(codeOfUnreadable(message), { message, offset }, index, line);
    }
  }

  #addUnreadable(code: RuleCode, { message, offset }: RowFault, index: number, line: number): void {
    const place = offset === undefined ? {} : { offset };
    this.#add(code, index, { line, detail: message, ...place });
  }

  #add(code: RuleCode, index: number, place: Omit<Place, "file" | "row">): void {
    const level = this.#settings.levels[code];
    if (level === "off") return;
    if (level === "error") this.#part.spoil(index);
    // Fields are named as the row names them.
    const named = place.field === undefined ? place : { ...place, field: hideSecrets(place.field) };
    this.#part.add(code, { file: 0, row: index + 1, ...named });
  }

  /** A row that the kernel read. */
  #checkChat(count: number, index: number, line: number): void {
    const kernel = this.#kernel;
    const part = this.#part;
    this.#value = undefined;
    let promptLength = 0;
    let answerLength = 0;
    let answer = false;
    for (let at = 0; at < count; at++) {
      const scanned = kernel.scanned(at);
      answer = kernel.roleMark(at) === roleMarks.assistant;
      if (answer) answerLength += scanned.length;
      else promptLength += scanned.length;
      if (needsLook(scanned, answer))
        this.#look(kernel.text(at), scanned, answer, index, line, at, count);
      if (answer) part.countAnswer(scanned.prefix);
    }
    part.turns += count;
    part.countLengths(promptLength, answerLength);
    this.#compare(index, answer ? kernel.prompt : NaN);
    if (!answer) this.#add("last-turn", index, { line });
    if (part.splitKeys === null) return;
    const messages = Array.from({ length: count }, (_, at) => ({
      role: roleNames[kernel.roleMark(at) - 1]!,
      content: kernel.text(at),
    }));
    part.splitKeys[index] = splitKey({ messages });
  }

  #checkValue(value: unknown, index: number, line: number): void {
    const part = this.#part;
    const { form, groupBy } = this.#settings;
    this.#value = value;
    if (!isRecord(value)) return this.#add("not-an-object", index, { line });
    if (groupBy !== undefined && part.names.size < keptNames) {
      for (const name of Object.keys(value)) part.names.add(name);
    }
    let row: CanonicalRow;
    try {
      if (!fits(form, value)) return this.#addMisfit(value, index, line);
      row = canonicalRow(adapt(form, value, groupBy), groupBy);
    } catch (error) {
      if (!(error instanceof RowProblem)) throw error;
      for (const { code, field: path, detail } of findFaults(form, value, error)) {
        this.#add(code, index, { line, ...(path === "" ? {} : { field: path }), detail });
      }
      return;
    }
    if (groupBy !== undefined && row.group === undefined) part.ungrouped += 1;
    if (part.splitKeys !== null) part.splitKeys[index] = splitKey(row);
    this.#kernel.begin();
    if ("text" in row) this.#checkText(row.text, index, line);
    else this.#checkMessages(row.messages, row.tools, value, index, line);
  }

  /** A row without the fields of the form that most rows have. */
  #addMisfit(value: Record<string, unknown>, index: number, line: number): void {
    const other = formOf(value);
    if (other === undefined) {
      const names = Object.keys(value).slice(0, 6).map(quoted).join(", ");
      const detail = names === "" ? "the row is empty" : `the row has ${names}`;
      return this.#add("unknown-form", index, { line, detail });
    }
    this.#add("mixed-forms", index, { line, detail: `this one is one of the ${formName(other)}` });
  }

  #checkMessages(
    messages: readonly Message[],
    tools: string | undefined,
    value: Record<string, unknown>,
    index: number,
    line: number,
  ): void {
    const { form } = this.#settings;
    const kernel = this.#kernel;
    const part = this.#part;
    let prompt = NaN;
    let promptLength = 0;
    let answerLength = 0;
    for (const [at, message] of messages.entries()) {
      const { role, content, reasoning_content: thought, tool_calls: calls = [], weight } = message;
      prompt = kernel.identity;
      kernel.separate(roleMarks[role]);
      const said = role === "assistant";
      const answer = said && weight !== 0;
      const scanned = kernel.scan(content, { sketched: said || role === "user", answer });
      this.#look(content, scanned, answer, index, line, at, messages.length);
      if (answer) part.countAnswer(scanned.prefix);
      if (thought !== undefined) {
        const read = kernel.scan(thought, { sketched: said, answer: false });
        this.#lookBeside(thought, read, index, line, `messages[${at}].reasoning_content`);
      }
      for (const [call, { function: called }] of calls.entries()) {
        const text = called.name + called.arguments;
        const read = kernel.scan(text, { sketched: true, answer: false });
        this.#lookBeside(text, read, index, line, `messages[${at}].tool_calls[${call}]`);
      }
      if (said) answerLength += content.length;
      else promptLength += content.length;
    }
    if (tools !== undefined) {
      const read = kernel.scan(tools, { sketched: false, answer: false });
      this.#lookBeside(tools, read, index, line, "tools");
    }
    part.turns += messages.length;
    part.countLengths(promptLength, answerLength);
    const answered = messages.at(-1)?.role === "assistant";
    this.#compare(index, answered ? prompt : NaN);
    if (form.kind === "alpaca" || form.kind === "columns") return;
    if (!answered) this.#add("last-turn", index, { line });
    if (form.kind !== "chat") return;
    const written = field(value, form.field);
    const unknown = Array.isArray(written) ? findUnknownKey(written) : undefined;
    if (unknown !== undefined) {
      this.#add("unknown-key", index, { line, field: placeIn(form, unknown) });
    }
  }

  #checkText(text: string, index: number, line: number): void {
    const scanned = this.#kernel.scan(text, { sketched: true, answer: false });
    this.#look(text, scanned, false, index, line, -1, 1);
    this.#part.countLengths(0, text.length);
    this.#compare(index, NaN);
  }

  /** Notes what the row is compared with others by. */
  #compare(index: number, prompt: number): void {
    const kernel = this.#kernel;
    this.#part.identities[index] = kernel.identity;
    this.#part.prompts[index] = prompt;
    kernel.writeSketch();
    this.#part.sketches.set(kernel.sketch, index * sketchBytes);
  }

  /** Looks at what a text says. @param at the message that it is of, of `count` */
  #look(
    text: string,
    scanned: Scanned,
    answer: boolean,
    index: number,
    line: number,
    at: number,
    count: number,
  ): void {
    const found = (code: RuleCode, detail?: string) => {
      const path = placeOfMessage(this.#settings.form, at, count, this.#value);
      this.#add(code, index, { line, field: path, ...(detail === undefined ? {} : { detail }) });
    };
    if ((scanned.flags & seen.foreign) !== 0 && text.includes("\ufffd")) {
      if (hasHalfPair(this.#value)) found("half-character");
    }
    if (needsLook(scanned, answer)) findInText(text, scanned, answer, found);
  }

  /** Looks at what a model learns or sees besides what is said: thoughts, calls of tools, tools. */
  #lookBeside(text: string, scanned: Scanned, index: number, line: number, path: string): void {
    if (!needsLook(scanned, false)) return;
    findInText(text, scanned, false, (code, detail) => {
      const place = { line, field: placeIn(this.#settings.form, path) };
      this.#add(code, index, detail === undefined ? place : { ...place, detail });
    });
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
