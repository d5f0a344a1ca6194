import { Unreadable } from "./unreadable.ts";

/** The first place where text stops being JSON, and why. */
export interface SyntaxProblem {
  /** In UTF-16 code units from the start of the text. */
  readonly offset: number;
  readonly message: string;
  /** The text ended too early. */
  readonly unfinished: boolean;
}

/** What people write from habit, and what JSON has for it. */
const foreignWords: Readonly<Record<string, string>> = {
  None: "write null",
  True: "write true",
  False: "write false",
  undefined: "write null, or leave the field out",
  NaN: "JSON has no NaN: write null",
  Infinity: "JSON has no Infinity: write null",
};

/**
 * Finds out why JSON.parse refused a text: its own messages are not the same from one Node to the
 * next and often have no place. Runs only on text that is known to be broken; no recursion, so
 * that nesting cannot overflow the stack.
 *
 * @returns undefined if the text is JSON after all.
 */
export function findSyntaxProblem(text: string): SyntaxProblem | undefined {
  const closers: ("}" | "]")[] = [];
  let at = 0;
  let expecting: "value" | "first" | "key" | "firstKey" | "colon" | "more" = "value";
  for (;;) {
    at = skip(text, at, " \t\n\r");
    const char = text[at];
    const closer = closers.at(-1);
    if (expecting === "more") {
      if (closer === undefined) {
        return char === undefined ? undefined : problem(text, at, "the end");
      }
      if (char === closer) closers.pop();
      else if (char === ",") expecting = closer === "}" ? "key" : "value";
      else return problem(text, at, `"," or "${closer}"`);
      at += 1;
    } else if (char === closer && (expecting === "first" || expecting === "firstKey")) {
      closers.pop();
      expecting = "more";
      at += 1;
    } else if (expecting === "colon") {
      if (char !== ":") return problem(text, at, '":" after the field\'s name');
      expecting = "value";
      at += 1;
    } else if (expecting === "key" || expecting === "firstKey") {
      if (char !== '"') return problem(text, at, "a field's name in double quotes");
      const end = skipString(text, at);
      if (typeof end !== "number") return end;
      at = end;
      expecting = "colon";
    } else if (char === "{" || char === "[") {
      closers.push(char === "{" ? "}" : "]");
      expecting = char === "{" ? "firstKey" : "first";
      at += 1;
    } else {
      const end = skipScalar(text, at);
      if (typeof end !== "number") return end;
      at = end;
      expecting = "more";
    }
  }
}

/** Says so of a text that begins at this byte of the file. */
export function unreadableText(
  offset: number,
  text: string,
  problem: SyntaxProblem,
  hint?: string,
): Unreadable {
  const before = Buffer.byteLength(text.slice(0, problem.offset));
  return new Unreadable(offset + before, problem.message, hint);
}

function skipScalar(text: string, at: number): number | SyntaxProblem {
  if (text[at] === '"') return skipString(text, at);
  const word = /[^\s,:[\]{}"]*/y;
  word.lastIndex = at;
  const found = word.exec(text)![0];
  if (/^(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)$/.test(found)) {
    return at + found.length;
  }
  return problem(text, at, "a value");
}

function skipString(text: string, start: number): number | SyntaxProblem {
  for (let at = start + 1; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 0x22) return at + 1;
    if (code === 0x5c) {
      const escape = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;
      escape.lastIndex = at;
      const found = escape.exec(text)?.[0];
      if (found === undefined) {
        return broken(at, "no such escape: a backslash inside text is written \\\\");
      }
      at += found.length - 1;
    } else if (code < 0x20) {
      const written = JSON.stringify(text[at]).slice(1, -1);
      return code === 0x0a || code === 0x0d
        ? broken(at, `a line break inside text (written ${written}), or a missing quote before it`)
        : broken(at, `a control character inside text is written ${written}`);
    }
  }
  return { offset: start, message: "this text has no closing quote", unfinished: true };
}

function problem(text: string, offset: number, expected: string): SyntaxProblem {
  const found = text[offset];
  if (found === undefined) {
    return { offset, message: `expected ${expected}, and it ends here`, unfinished: true };
  }
  const word = /^-?([A-Za-z_]+)/.exec(text.slice(offset, offset + 20))?.[1] ?? "";
  const mend = Object.hasOwn(foreignWords, word)
    ? foreignWords[word]
    : found === "'"
      ? "text and names need double quotes"
      : (found === "}" || found === "]") &&
          /,\s*$/.test(text.slice(Math.max(0, offset - 80), offset))
        ? "remove the comma before it"
        : undefined;
  const shown = JSON.stringify(word || String.fromCodePoint(text.codePointAt(offset)!));
  return broken(
    offset,
    `expected ${expected}, found ${shown}${mend === undefined ? "" : `: ${mend}`}`,
  );
}

function broken(offset: number, message: string): SyntaxProblem {
  return { offset, message, unfinished: false };
}

function skip(text: string, at: number, characters: string): number {
  while (at < text.length && characters.includes(text[at]!)) at += 1;
  return at;
}
