import { buildCommand } from "@stricli/core";
import type { Cli } from "../cli.ts";
import { bare } from "../flags.ts";
import { json, runArgument } from "./parameters.ts";
import type { RunArgs } from "./parameters.ts";

export interface LogsFlags {
  readonly follow: boolean;
  readonly json: boolean;
}

export const logs = buildCommand<LogsFlags, RunArgs, Cli>({
  loader: () => import("./logs.run.ts"),
  parameters: {
    flags: bare({
      follow: {
        kind: "boolean",
        brief: "go on until the run ends",
        default: false,
        withNegated: false,
      },
      json,
    }),
    aliases: { f: "follow" },
    positional: runArgument,
  },
  docs: { brief: "print what the trainer printed" },
});
