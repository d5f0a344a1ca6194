import { buildCommand } from "@stricli/core";
import type { Cli } from "../cli.ts";
import { bare } from "../flags.ts";
import { json, runArgument } from "./parameters.ts";
import type { RunArgs } from "./parameters.ts";

export interface WatchFlags {
  readonly json: boolean;
}

export const watch = buildCommand<WatchFlags, RunArgs, Cli>({
  loader: () => import("./watch.run.ts"),
  parameters: { flags: bare({ json }), positional: runArgument },
  docs: { brief: "follow a run, or replay one that has ended, and exit with its outcome" },
});
