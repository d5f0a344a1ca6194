/** An error that counts as trouble on the way, after which a request is repeated. */
export const broken = (message: string, code = "ECONNRESET") =>
  Object.assign(new Error(message), { code });

/** Names of fields that say where a body ends. */
const framing = ["content-length", "transfer-encoding", "connection"];
const firstLine = /^HTTP\/1\.[01] [1-9]\d\d(?: |\r|$)/;
/** After the first line only fields: a name without blanks, and neither a NUL nor half a line end. */
// oxlint-disable-next-line no-control-regex
const lines = /^[^\0\r\n]*(?:\r\n[\w!#$%&'*+.^`|~-]+:[^\0\r\n]*)*$/;
const blanks = " \t";

/**
 * Status and header fields of an answer. Strict, because a lenient reader can be fooled about where a
 * body ends. Fields are looked for when they are asked for: most never are.
 */
export class HttpHead {
  readonly status: number;
  /** Whether another request may follow on the same connection. */
  readonly keepAlive: boolean;
  private readonly text: string;
  private readonly lower: string;

  /** @throws an error like {@link broken} for what is no head of HTTP/1.1 */
  constructor(text: string) {
    if (!firstLine.test(text)) throw broken("not an HTTP/1.1 answer");
    if (!lines.test(text)) throw broken("a header without a name");
    this.text = text;
    this.lower = text.toLowerCase();
    this.status = Number(text.slice(9, 12));
    for (const name of framing) this.requireOne(name);
    const connection = this.get("connection")?.toLowerCase() ?? "";
    const lasts = text.startsWith("HTTP/1.1");
    this.keepAlive = lasts ? !/\bclose\b/.test(connection) : connection === "keep-alive";
  }

  /** The value of a field, by its name in lower case. */
  get(name: string): string | undefined {
    return this.valueAt(this.lower.indexOf(`\r\n${name}:`), name);
  }

  private valueAt(at: number, name: string): string | undefined {
    if (at < 0) return undefined;
    let start = at + name.length + 3;
    let end = this.text.indexOf("\r\n", start);
    if (end < 0) end = this.text.length;
    // Not trim(), to which more is blank than to HTTP.
    while (start < end && blanks.includes(this.text[start]!)) start += 1;
    while (end > start && blanks.includes(this.text[end - 1]!)) end -= 1;
    return this.text.slice(start, end);
  }

  private requireOne(name: string): void {
    const mark = `\r\n${name}:`;
    const first = this.lower.indexOf(mark);
    for (let at = first; at >= 0; at = this.lower.indexOf(mark, at + 1)) {
      if (this.valueAt(at, name) !== this.valueAt(first, name)) throw broken(`two of ${name}`);
    }
  }
}
