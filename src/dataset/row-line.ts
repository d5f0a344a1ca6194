// JavaScript has them for years; TypeScript does not know them yet.
declare global {
  interface JSON {
    rawJSON(text: string): object;
    isRawJSON(value: unknown): boolean;
  }
}

/** What may be a number that comes out otherwise than it was written. */
const mayChange = /\d{16}|\d[.eE]|-0/;

/**
 * A row that is written again as it was, on one line: numbers stay as the file has them, also those
 * that JavaScript's cannot hold.
 *
 * @param text of a row of JSON; undefined for a row of a table
 */
export function rowLine(value: unknown, text: string | undefined): string {
  return JSON.stringify(text === undefined ? value : exactValue(value, text));
}

/** The same value, with such numbers as `JSON.rawJSON`. */
export function exactValue(value: unknown, text: string): unknown {
  if (!mayChange.test(text)) return value;
  const keep = (_: string, item: unknown, context?: { readonly source?: string }) => {
    const source = context?.source;
    if (typeof item !== "number" || source === undefined || String(item) === source) return item;
    return JSON.rawJSON(source);
  };
  return JSON.parse(text, keep as (key: string, value: unknown) => unknown);
}
