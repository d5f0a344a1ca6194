import type { RuleCode } from "./catalog.ts";

// A joiner between letters of scripts that need it, or between emoji, is part of the text; between
// ASCII characters nothing needs one.
const zeroWidth =
  /[\u200b\u2060\u2061-\u2064\u180e\ufeff]|(?<=[\x20-\x7e])(?:\u200c|\u200d|\u00ad)(?=[\x20-\x7e])|(?<![\u{e0000}-\u{e007f}\u{1f3f4}])[\u{e0000}-\u{e007f}]/u;
const direction = /[\u202a-\u202e\u2066-\u2069]/;

/** What people cannot see in a text that is not all ASCII, and models learn. */
export function findInvisible(text: string): [RuleCode, string][] {
  const found: [RuleCode, string][] = [];
  const hidden = zeroWidth.exec(text);
  if (hidden !== null) found.push(["zero-width", codePoint(hidden[0])]);
  const turned = direction.exec(text);
  if (turned !== null) found.push(["bidirectional", codePoint(turned[0])]);
  const c1 = /[\u0080-\u009f]/.exec(text);
  if (c1 !== null) found.push(["control-character", codePoint(c1[0])]);
  return found;
}

/** The first control character of ASCII, as "U+001B". */
export function findControl(text: string): string | undefined {
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if ((code < 32 && code !== 9 && code !== 10 && code !== 13) || code === 127) {
      return codePoint(text[index]!);
    }
  }
  return undefined;
}

function codePoint(character: string): string {
  return `U+${character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0")}`;
}
