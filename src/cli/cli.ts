import type { CommandContext } from "@stricli/core";
import type { Context } from "../api/context.ts";
import type { Host } from "../base/host.ts";
import type { Terminal } from "./terminal.ts";

/** What every command has as `this`. */
export interface Cli extends CommandContext {
  readonly terminal: Terminal;
  /** What the verbs take from the outside; without a host they speak to nobody. */
  context(host?: Host): Context;
  /** For outcomes that are no error of the command, such as a run that failed. */
  exitWith(code: number): void;
}
