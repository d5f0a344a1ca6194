import { buildCommand } from "@stricli/core";
import type { Cli } from "../cli.ts";
import { bare } from "../flags.ts";
import { json, runArgument } from "./parameters.ts";
import type { RunArgs } from "./parameters.ts";

export interface StopFlags {
  readonly abort: boolean;
  readonly json: boolean;
}

export const stop = buildCommand<StopFlags, RunArgs, Cli>({
  loader: () => import("./stop.run.ts"),
  parameters: {
    flags: bare({
      abort: {
        kind: "boolean",
        brief: "end it as fast as its target can, without a checkpoint",
        default: false,
        withNegated: false,
      },
      json,
    }),
    positional: runArgument,
  },
  docs: { brief: "end a run, with a checkpoint to resume from" },
});
