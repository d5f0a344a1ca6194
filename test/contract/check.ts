import { decode } from "./decode.ts";
import type { Recorded } from "./decode.ts";
import type { Model, Shape } from "./models.ts";
import { rules } from "./rules.ts";

/** What is wrong with a request, by AWS's model of the service and by rules across fields. */
export function check(request: Recorded): string[] {
  try {
    const { service, operation, model, shape, input, problems } = decode(request);
    const found = [...problems];
    if (shape !== undefined) walk(model, shape, input, "", found);
    for (const rule of [rules[service], rules[`${service}.${operation}`]]) {
      found.push(...(rule?.(input, request) ?? []));
    }
    return found.map((problem) => `${service} ${operation}: ${problem}`);
  } catch (error) {
    return [`${request.method} ${request.target}: ${(error as Error).message}`];
  }
}

function walk(model: Model, shape: Shape, value: unknown, path: string, found: string[]): void {
  const say = (what: string) => void found.push(`${path || "the input"} ${what}`);
  const below = (name: string | number) => (path === "" ? `${name}` : `${path}.${name}`);
  switch (shape.type) {
    case "structure": {
      if (!isRecord(value)) return say("is no structure");
      for (const name of shape.required ?? []) {
        if (value[name] === undefined || value[name] === null)
          found.push(`${below(name)} is missing`);
      }
      if (shape.union === true && Object.keys(value).length !== 1) say("must have one member");
      for (const [name, each] of Object.entries(value)) {
        const member = shape.members?.[name];
        if (member === undefined) found.push(`${below(name)} is not known`);
        else if (each !== null) walk(model, model.shapes[member.shape]!, each, below(name), found);
      }
      return;
    }
    case "list":
      if (!Array.isArray(value)) return say("is no list");
      limit(shape, value.length, "items", say);
      for (const [index, each] of value.entries()) {
        walk(model, model.shapes[shape.member!.shape]!, each, below(index), found);
      }
      return;
    case "map":
      if (!isRecord(value)) return say("is no map");
      limit(shape, Object.keys(value).length, "entries", say);
      for (const [key, each] of Object.entries(value)) {
        walk(model, model.shapes[shape.key!.shape]!, key, below(`key ${key}`), found);
        walk(model, model.shapes[shape.value!.shape]!, each, below(key), found);
      }
      return;
    case "string":
      if (typeof value !== "string") return say("is no text");
      limit(shape, Array.from(value).length, "characters", say);
      if (shape.enum && !shape.enum.includes(value)) say(`is ${value}, none of its values`);
      if (shape.pattern && !compile(shape.pattern).test(value)) {
        say(`does not match ${shape.pattern}: ${value}`);
      }
      return;
    case "integer":
    case "long":
      if (!Number.isSafeInteger(value)) return say("is no whole number");
      return limit(shape, value as number, "", say);
    case "float":
    case "double":
      if (typeof value !== "number") return say("is no number");
      return limit(shape, value, "", say);
    case "boolean":
      if (typeof value !== "boolean") say("is neither true nor false");
      return;
    case "timestamp": {
      const read = typeof value === "number" ? value : Date.parse(String(value));
      if (Number.isNaN(read)) say("is no time");
      return;
    }
    default:
      return;
  }
}

function limit(shape: Shape, size: number, unit: string, say: (what: string) => void): void {
  const words = `${size} ${unit}`.trim();
  if (shape.min !== undefined && size < shape.min) say(`has ${words}, and needs ${shape.min}`);
  if (shape.max !== undefined && size > shape.max) say(`has ${words}, and may have ${shape.max}`);
}

const compiled = new Map<string, RegExp>();

/** A model's pattern holds for the whole text. Most are for Java; all that we use must compile. */
function compile(pattern: string): RegExp {
  const known = compiled.get(pattern);
  if (known !== undefined) return known;
  const source = `^(?:${pattern.replaceAll("\\Z", "").replaceAll("\\A", "")})$`;
  let expression: RegExp;
  try {
    expression = new RegExp(source, "u");
  } catch {
    expression = new RegExp(source);
  }
  compiled.set(pattern, expression);
  return expression;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
