// Where the library's Jinja differs from Python's, templates are made to call these instead.

/** What str.strip of Python takes for blank. */
const blank = "[\\t-\\r\\x1c- \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]";
const leadingBlank = new RegExp(`^${blank}+`);
const trailingBlank = new RegExp(`(?<!${blank})${blank}+$`);

/** Python's str.lstrip, str.rstrip and str.strip. */
function strip(
  text: unknown,
  characters: string | null | undefined,
  sides: "left" | "right" | "both",
): string {
  if (typeof text !== "string") throw new Error(`only text can be stripped, not ${typeof text}`);
  let stripped = text;
  if (characters === undefined || characters === null) {
    if (sides !== "right") stripped = stripped.replace(leadingBlank, "");
    return sides === "left" ? stripped : stripped.replace(trailingBlank, "");
  }
  const set = new Set(characters);
  const all = Array.from(stripped);
  let [from, to] = [0, all.length];
  if (sides !== "right") while (from < to && set.has(all[from]!)) from += 1;
  if (sides !== "left") while (to > from && set.has(all[to - 1]!)) to -= 1;
  return all.slice(from, to).join("");
}

/** Python's ==: by content for objects and lists, and never between text and numbers. */
function equal(one: unknown, two: unknown): boolean {
  if (one instanceof Map && two instanceof Map) {
    if (one.size !== two.size) return false;
    return [...one].every(
      ([key, value]) => two.has(key) && equal(inner(value), inner(two.get(key))),
    );
  }
  if (Array.isArray(one) && Array.isArray(two)) {
    return one.length === two.length && one.every((item, at) => equal(inner(item), inner(two[at])));
  }
  const number = (value: unknown) => (typeof value === "boolean" ? Number(value) : value);
  return number(one) === number(two);
}

/** What a value of the library's interpreter holds. */
const inner = (value: unknown): unknown => (value as { readonly value: unknown }).value;

export const pythonFunctions: Readonly<Record<string, unknown>> = {
  moxi_strip: (text: unknown, characters?: string | null) => strip(text, characters, "both"),
  moxi_lstrip: (text: unknown, characters?: string | null) => strip(text, characters, "left"),
  moxi_rstrip: (text: unknown, characters?: string | null) => strip(text, characters, "right"),
  moxi_equal: equal,
  moxi_unequal: (one: unknown, two: unknown) => !equal(one, two),
};

interface Node {
  type?: string;
  [key: string]: unknown;
}

const named = (value: string): Node => ({ type: "Identifier", value });
const call = (name: string, ...args: unknown[]): Node => ({
  type: "CallExpression",
  callee: named(`moxi_${name}`),
  args,
});

/** Lets a parsed template call {@link pythonFunctions}. */
export function asPython(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(asPython);
  if (node === null || typeof node !== "object" || node instanceof Map) return node;
  for (const [key, value] of Object.entries(node)) (node as Node)[key] = asPython(value);
  const { type, callee, args, operator, left, right, filter, operand } = node as Node;
  if (type === "CallExpression") {
    const { type: kind, computed, object, property } = (callee ?? {}) as Node;
    const method = (property as Node | undefined)?.["value"];
    if (kind === "MemberExpression" && computed === false && /^[lr]?strip$/.test(String(method))) {
      return call(String(method), object, ...(args as unknown[]));
    }
  }
  if (type === "BinaryExpression") {
    const sign = (operator as Node)["value"];
    if (sign === "==") return call("equal", left, right);
    if (sign === "!=") return call("unequal", left, right);
  }
  if (type === "FilterExpression" && (filter as Node)["value"] === "trim") {
    return call("strip", operand);
  }
  return node;
}
