import measure from "fast-string-truncated-width";

/** Columns that a text takes in a terminal: wide characters count twice, escape sequences not. */
export function width(text: string): number {
  // The library's tables take 5 ms to come up, and most of what we print is this.
  return plain.test(text) ? text.length : measure(text).width;
}

/** ASCII and our own marks: one column each. */
const plain = /^[\x20-\x7e–…→×│┤─━╸●■✓✗\u2800-\u28ff]*$/;

/** Cuts a plain text to so many columns, with an ellipsis where something is missing. */
export function fit(text: string, columns: number): string {
  if (width(text) <= columns) return text;
  const [first = ""] = pieces(text, Math.max(1, columns - 1));
  return `${first}…`;
}

/** Cuts a text into pieces of at most so many columns, never inside a character. */
function* pieces(text: string, columns: number): Generator<string> {
  let piece = "";
  let used = 0;
  for (const { segment } of new Intl.Segmenter().segment(text)) {
    const more = width(segment);
    if (used + more > columns && piece !== "") {
      yield piece;
      piece = "";
      used = 0;
    }
    piece += segment;
    used += more;
  }
  yield piece;
}

export function padEnd(text: string, columns: number): string {
  return text + " ".repeat(Math.max(0, columns - width(text)));
}

export function padStart(text: string, columns: number): string {
  return " ".repeat(Math.max(0, columns - width(text))) + text;
}

/** Breaks a plain text between words into lines of at most so many columns; longer words are cut. */
export function wrap(text: string, columns: number): string[] {
  const lines: string[] = [];
  for (const paragraph of text.split("\n")) {
    let line = "";
    for (const word of paragraph.split(/(?<=\s)(?=\S)/)) {
      if (width(line + word.trimEnd()) <= columns) {
        line += word;
        continue;
      }
      if (line.trim() !== "") lines.push(line.trimEnd());
      const cut = [...pieces(word, columns)];
      line = cut.pop()!;
      lines.push(...cut);
    }
    lines.push(line.trimEnd());
  }
  return lines;
}

/** A label in its own column, and beside it a plain text that wraps within the width. */
export function labelled(
  label: string,
  text: string,
  columns: number,
  paint: (line: string) => string = (line) => line,
): string[] {
  const indent = width(label);
  return wrap(text, Math.max(20, columns - indent)).map(
    (line, index) => (index === 0 ? label : " ".repeat(indent)) + paint(line),
  );
}
