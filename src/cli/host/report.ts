import { inspect } from "node:util";
import { toMoxiError } from "../../base/errors.ts";
import { errorLines } from "../render/error.ts";
import type { Terminal } from "../terminal.ts";
import { writeJson } from "./json.ts";

export interface ReportOptions {
  readonly terminal: Terminal;
  /** For programs, on stdout. */
  readonly json: boolean;
  /** With the stack trace and the causes. */
  readonly debug: boolean;
}

/** Tells an error, to people or to programs, and returns the exit code that it stands for. */
export function reportError(error: unknown, { terminal, json, debug }: ReportOptions): number {
  const { out, err } = terminal;
  const known = toMoxiError(error);
  if (json) writeJson(out, { type: "error", formatVersion: 1, error: known.toJSON() });
  else err.write(`${errorLines(known, { columns: err.columns(), style: err.style }).join("\n")}\n`);
  if (debug) err.write(`${inspect(error)}\n`);
  return known.exitCode;
}
