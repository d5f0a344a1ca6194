import { join } from "node:path";
import { parseEnv } from "node:util";
import { MoxiError, systemCode } from "../base/errors.ts";
import type { Place } from "../base/errors.ts";
import { readPlainFile } from "../base/files.ts";
import type { Source } from "./loaded.ts";

export interface Variable extends Source {
  readonly name: string;
  readonly value: string;
  readonly where: string;
  readonly place: Place;
}

/** The environment with `.env` beneath it. Empty variables count as unset, as CI systems leave them. */
export class Environment {
  readonly variables: ReadonlyMap<string, Variable>;

  constructor(variables: readonly Variable[]) {
    this.variables = new Map(variables.map((variable) => [variable.name, variable]));
  }

  /** The first of some names that is set. */
  find(...names: readonly string[]): Variable | undefined {
    return names.map((name) => this.variables.get(name)).find((found) => found !== undefined);
  }

  toObject(): Record<string, string> {
    return Object.fromEntries([...this.variables.values()].map(({ name, value }) => [name, value]));
  }
}

/** Reads `.env` in the project's folder, if there is one, under the given environment. */
export function readEnvironment(
  folder: string,
  env: Readonly<Record<string, string | undefined>>,
): Environment {
  const file = join(folder, ".env");
  const text = textOf(file);
  const lines = text.split("\n");
  const fromFile = Object.entries(parseEnv(text)).map(([name, value = ""]) => {
    const line = lines.findLastIndex(
      (each) =>
        each
          .replace(/^\s*(export\s+)?/, "")
          .split("=")[0]
          ?.trim() === name,
    );
    return {
      name,
      value,
      source: ".env" as const,
      where: line < 0 ? ".env" : `.env:${line + 1}`,
      place: line < 0 ? { file } : { file, line: line + 1 },
    };
  });
  const fromProcess = Object.entries(env).map(([name, value = ""]) => ({
    name,
    value,
    source: "environment" as const,
    where: name,
    place: {},
  }));
  return new Environment([...fromFile, ...fromProcess].filter(({ value }) => value.trim() !== ""));
}

/** Without the mark that some editors begin a file with: it would become part of the first name. */
function textOf(file: string): string {
  try {
    return readPlainFile(file).replace(/^\ufeff/, "");
  } catch (error) {
    const code = systemCode(error);
    if (code === "ENOENT") return "";
    const why = code === "EINVAL" && error instanceof Error ? `: ${error.message}` : ` (${code})`;
    throw new MoxiError("E_CONFIG_UNREADABLE", `.env cannot be read${why}`, {
      hint: "make it a file that you may read, or remove it",
      place: { file },
      cause: error,
    });
  }
}
