import { isRecord } from "../base/json.ts";

/** A number that JavaScript and Python would not write alike. */
export class UnwritableNumber extends Error {}

/**
 * Shows an object as text, for a model and for people: `{file_tree: "src/\n  a.ts", type: "npm"}` is
 *
 *     File tree:
 *     src/
 *       a.ts
 *
 *     Type: npm
 *
 * The rules, which `schema/vectors/rows.json` holds the Python trainer to:
 * 1. Text of one line, a number, true and false stand behind their label: `Type: npm`. Text loses
 *    the line breaks (CR, LF) at its ends and nothing else; only LF makes a new line.
 * 2. Text of several lines, an array or an object starts on the line below its label. An array's
 *    items are bullets (`- `), their further lines indented by two; a nested object's lines are all
 *    indented by two. Empty lines are never indented.
 * 3. Between two entries of an object stands an empty line if either has several lines.
 * 4. What has nothing to show is left out with its label: null, blank text, an array or object
 *    without anything to show. Blank is {@link isBlank}.
 * 5. A label is its key with each run of `_`, space, tab, CR and LF made one space, those at the
 *    ends removed, a space put between an ASCII small letter and an ASCII capital, and the first
 *    character, if an ASCII small letter, made a capital; or the key itself if that leaves nothing.
 * 6. Entries stand in the order of the file, except that keys which are whole numbers from 0 to
 *    4294967294, written plainly, come first in ascending order (JavaScript keeps them so).
 * 7. A number is written with the fewest digits that read back as the same double, without a point
 *    if it is whole. It must be 0 or between 0.0001 and 2^53 - 1 in size, where languages agree.
 *
 * @returns "" when there is nothing to show.
 * @throws UnwritableNumber by rule 7.
 */
export function renderObject(value: Readonly<Record<string, unknown>>): string {
  return objectLines(value).join("\n");
}

/** Rule 7. */
export function renderNumber(value: number): string {
  const size = Math.abs(value);
  if (size !== 0 && !(size >= 0.0001 && size <= Number.MAX_SAFE_INTEGER)) {
    throw new UnwritableNumber(String(value));
  }
  return String(value);
}

/** True for text of nothing but Unicode's spaces, tab, VT, FF, CR, LF, U+200B and U+FEFF. */
export function isBlank(text: string): boolean {
  return !/[^\s\u200b]/.test(text);
}

function objectLines(object: Readonly<Record<string, unknown>>): string[] {
  const lines: string[] = [];
  let previous = 0;
  for (const [key, value] of Object.entries(object)) {
    const entry = entryLines(key, value);
    if (entry.length === 0) continue;
    if (previous > 1 || (previous === 1 && entry.length > 1)) lines.push("");
    lines.push(...entry);
    previous = entry.length;
  }
  return lines;
}

function entryLines(key: string, value: unknown): string[] {
  const lines = valueLines(value);
  if (lines.length === 0) return lines;
  if (isRecord(value)) return [`${label(key)}:`, ...lines.map(indented)];
  if (lines.length > 1 || Array.isArray(value)) return [`${label(key)}:`, ...lines];
  return [`${label(key)}: ${lines[0]}`];
}

function valueLines(value: unknown): string[] {
  if (typeof value === "string") {
    return isBlank(value) ? [] : value.replace(/^[\r\n]+|[\r\n]+$/g, "").split("\n");
  }
  if (typeof value === "number") return [renderNumber(value)];
  if (typeof value === "boolean") return [String(value)];
  if (Array.isArray(value)) return value.flatMap(bulletLines);
  return isRecord(value) ? objectLines(value) : [];
}

function bulletLines(item: unknown): string[] {
  return valueLines(item).map((line, index) => (index === 0 ? `- ${line}` : indented(line)));
}

function indented(line: string): string {
  return line === "" ? "" : `  ${line}`;
}

function label(key: string): string {
  const words = key
    .replace(/[_ \t\r\n]+/g, " ")
    .replace(/^ | $/g, "")
    .replace(/([a-z])([A-Z])/g, "$1 $2")
    .replace(/^[a-z]/, (letter) => letter.toUpperCase());
  return words === "" ? key : words;
}
