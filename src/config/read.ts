import { basename } from "node:path";
import { inspect } from "node:util";
import { findNodeAtLocation, parseTree, printParseErrorCode } from "jsonc-parser";
import type { ParseError } from "jsonc-parser";
import { MoxiError, isMoxiError, systemCode } from "../base/errors.ts";
import type { Place } from "../base/errors.ts";
import { readPlainFile } from "../base/files.ts";
import { printable } from "../base/format.ts";
import { isRecord } from "../base/json.ts";
import { importConfig, placeInStack, withoutMark } from "./hook.ts";

export interface ConfigFile {
  readonly value: Readonly<Record<string, unknown>>;
  /** Where a setting stands, by its dotted key: exact in JSON; in a program only where it is certain. */
  readonly locate: (key: string) => Place;
}

/** Reads what a config file says, without judging the settings. `file` is absolute. */
export async function readConfigFile(file: string, libraryUrl: string): Promise<ConfigFile> {
  try {
    const text = readPlainFile(file).replace(/^\ufeff/, "");
    if (file.endsWith(".json")) return readJson(file, text);
    return await readProgram(file, text, libraryUrl);
  } catch (error) {
    throw isMoxiError(error) ? error : unreadable(file, error);
  }
}

function readJson(file: string, text: string): ConfigFile {
  const errors: ParseError[] = [];
  const tree = parseTree(text, errors, { disallowComments: true });
  const place = (offset: number): Place => {
    const before = text.slice(0, offset).split("\n");
    return { file, line: before.length, column: before.at(-1)!.length + 1 };
  };
  const [first] = errors;
  if (first !== undefined) {
    const problem = printParseErrorCode(first.error).replace(/(?<=[a-z])[A-Z]/g, (c) => ` ${c}`);
    throw new MoxiError(
      "E_CONFIG_UNREADABLE",
      `${basename(file)} is not valid JSON: ${problem.toLowerCase()}`,
      { place: place(first.offset), hint: "mend it there; JSON has no comments and no last comma" },
    );
  }
  const value: unknown = JSON.parse(text);
  if (!isRecord(value)) throw notAnObject(file, "holds", value);
  // For editors only: it tells them where schema/config.json is.
  const { $schema: _, ...settings } = value;
  return {
    value: settings,
    locate(key) {
      const property = tree && findNodeAtLocation(tree, key.split("."))?.parent;
      return property === undefined ? { file } : place(property.offset);
    },
  };
}

async function readProgram(file: string, text: string, libraryUrl: string): Promise<ConfigFile> {
  const module = await importConfig(file, libraryUrl);
  const value: unknown = "default" in module ? module.default : undefined;
  if (!isRecord(value) || value instanceof Promise) throw notAnObject(file, "exports", value);
  return {
    value,
    locate(key) {
      const name = key.slice(key.lastIndexOf(".") + 1).replace(/[^\w$]/g, "\\$&");
      // `name: value`, or the shorthand `name` between braces and commas.
      const property = `(?<![.\\w$])${name}["']?\\s*:|(?:^|[{,])\\s*${name}\\s*(?:$|[,}])`;
      const written = new RegExp(`^(?!\\s*(?://|\\*|/\\*)).*?(?:${property})`);
      const lines = text
        .split("\n")
        .flatMap((line, index) => (written.test(line) ? [index + 1] : []));
      // Two places look like the key: telling the wrong one would be worse than telling none.
      return lines.length === 1 ? { file, line: lines[0]! } : { file };
    },
  };
}

function notAnObject(file: string, verb: "holds" | "exports", value: unknown): MoxiError {
  const what =
    value === undefined || value === null
      ? { undefined: "no default", null: "null" }[String(value)]
      : Array.isArray(value)
        ? "a list"
        : `a ${value instanceof Promise ? "promise" : typeof value}`;
  return new MoxiError("E_CONFIG_INVALID", `${basename(file)} ${verb} ${what}, not an object`, {
    hint:
      verb === "holds"
        ? 'write an object: { "dataset": "data.jsonl" }'
        : "export a plain object: export default defineConfig({ ... })",
    place: { file },
  });
}

/** What was thrown while a config was read: by Node, or by the config. */
export function unreadable(file: string, error: unknown): MoxiError {
  const thrown = typeof error === "string" ? error : inspect(error);
  const { message, stack = "" } = error instanceof Error ? error : { message: thrown };
  const [firstLine = ""] = withoutMark(message).split("\n");
  return new MoxiError(
    "E_CONFIG_UNREADABLE",
    `${basename(file)} cannot be read: ${printable(firstLine).slice(0, 500)}`,
    {
      hint: remedies[systemCode(error) ?? ""] ?? remedy(message),
      place: placeInStack(stack) ?? { file },
      cause: error,
    },
  );
}

const remedies: Readonly<Record<string, string>> = {
  ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX:
    "the config runs without a compiler: types are fine; enum, namespace and parameter properties are not",
  ERR_MODULE_NOT_FOUND:
    'check the import: a file needs its ending ("./shared.ts"), a package must be installed',
  EACCES: "check who may read the file",
  EINVAL: "make it a plain file",
};

function remedy(message: string): string {
  return /^(module|exports|require) is not defined/.test(message)
    ? "a config is an ES module: use import and export default"
    : "mend the config; node can run it alone to show more";
}
