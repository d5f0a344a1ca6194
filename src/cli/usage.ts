import {
  AliasNotFoundError,
  FlagNotFoundError,
  UnexpectedFlagError,
  UnexpectedPositionalError,
  UnsatisfiedFlagError,
  UnsatisfiedPositionalError,
} from "@stricli/core";
import type { ArgumentScannerError } from "@stricli/core";
import { MoxiError } from "../base/errors.ts";
import { nearestName } from "../base/format.ts";
import { kebab } from "./flags.ts";

/** A command line that means nothing, with what it may have meant. */
export function usageError(message: string, meant?: string): MoxiError {
  const question = meant === undefined ? "" : `: did you mean ${meant}?`;
  return new MoxiError("E_USAGE", message + question, {
    hint: "moxi --help lists the commands, and --help after a command its flags",
  });
}

/** What stricli found wrong with the arguments of a command, in our words. */
export function argumentError(error: ArgumentScannerError): MoxiError {
  if (error instanceof FlagNotFoundError) {
    const meant = nearestName(kebab(error.input), error.corrections.map(kebab));
    return usageError(`there is no flag --${error.input}`, meant && `--${meant}`);
  }
  if (error instanceof AliasNotFoundError) return usageError(`there is no flag -${error.input}`);
  if (error instanceof UnsatisfiedFlagError) {
    return usageError(`--${error.externalFlagName} needs a value`);
  }
  if (error instanceof UnexpectedFlagError) {
    return usageError(`--${error.externalFlagName} was given twice`);
  }
  if (error instanceof UnexpectedPositionalError) {
    return usageError(`what "${error.input}" means here is not clear`);
  }
  if (error instanceof UnsatisfiedPositionalError) {
    return usageError(`${error.placeholder.toUpperCase()} is missing`);
  }
  return usageError(error.message);
}

/** Whether a command line asks for JSON, told before it is understood: its errors are JSON too. */
export function asksForJson(args: readonly string[]): boolean {
  const given = args.findLast((argument) => /^--json(?:=|$)/.test(argument));
  // As stricli reads it.
  return given !== undefined && /^--json(?:=(?:true|t|yes|y|on|1)?)?$/i.test(given);
}
