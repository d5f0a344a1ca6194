import { isRecord } from "../../base/json.ts";

/**
 * The first field that one object of a JSON text names twice, as a path; JSON.parse keeps the last
 * of them in silence. Looks only where the text has more names than the value.
 */
export function findDuplicateKey(text: string, value: unknown): string | undefined {
  let names = 0;
  // In a text inside JSON a quote is escaped, so that this counts too many names, never too few.
  for (let at = text.indexOf('":'); at !== -1; at = text.indexOf('":', at + 2)) names += 1;
  const spaced = text.includes('" :') || text.includes('"\t:') || text.includes('"\n:');
  if (names === countKeys(value) && !spaced) return undefined;
  return search(text);
}

function countKeys(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  let count = 0;
  if (Array.isArray(value)) {
    for (const item of value) count += countKeys(item);
    return count;
  }
  if (!isRecord(value)) return 0;
  for (const key in value) count += 1 + countKeys(value[key]);
  return count;
}

const tokens = /"((?:[^"\\]|\\.)*)"|[{}[\],:]/gs;

function search(text: string): string | undefined {
  const stack: ({ keys: Set<string>; key: string } | { index: number })[] = [];
  let pending: string | undefined;
  for (const [token, name] of text.matchAll(tokens)) {
    const top = stack.at(-1);
    if (name !== undefined) pending = name;
    else if (token === ":" && top !== undefined && "keys" in top && pending !== undefined) {
      const key = unescaped(pending);
      top.key = key;
      if (top.keys.has(key)) return pathOf(stack);
      top.keys.add(key);
    } else if (token === "{") stack.push({ keys: new Set(), key: "" });
    else if (token === "[") stack.push({ index: 0 });
    else if (token === "}" || token === "]") stack.pop();
    else if (token === "," && top !== undefined && "index" in top) top.index += 1;
  }
  return undefined;
}

function unescaped(name: string): string {
  return name.includes("\\") ? (JSON.parse(`"${name}"`) as string) : name;
}

function pathOf(stack: readonly ({ key: string } | { index: number })[]): string {
  return stack
    .map((level) => ("key" in level ? `.${level.key}` : `[${level.index}]`))
    .join("")
    .slice(1);
}
