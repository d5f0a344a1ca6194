const escape = "\u001b\\[";
const tokens = new RegExp(`${escape}[\\d;]*[A-Za-z]|[^]`, "gu");
const cursorUp = new RegExp(`^${escape}\\d*A$`);

/** A terminal's screen as people would see it: enough of one for what we write. */
export function screen(columns: number, written: string): string[] {
  const rows: string[][] = [[]];
  let x = 0;
  let y = 0;
  for (const [token] of written.matchAll(tokens)) {
    if (token === "\n") {
      y += 1;
      x = 0;
      rows[y] ??= [];
    } else if (token === "\r") {
      x = 0;
    } else if (token === "\u001b[2K") {
      rows[y] = [];
    } else if (cursorUp.test(token)) {
      y = Math.max(0, y - Number(token.slice(2, -1) || 1));
    } else if (token.startsWith("\u001b[") && token.endsWith("m")) {
      continue;
    } else if (token.startsWith("\u001b")) {
      throw new Error(`the screen does not know ${JSON.stringify(token)}`);
    } else {
      if (x === columns) {
        y += 1;
        x = 0;
        rows[y] ??= [];
      }
      rows[y]![x] = token;
      x += 1;
    }
  }
  const last = Math.max(
    y,
    rows.findLastIndex((row) => row.length > 0),
  );
  return rows.slice(0, last + 1).map((row) =>
    Array.from(row, (cell) => cell ?? " ")
      .join("")
      .trimEnd(),
  );
}
