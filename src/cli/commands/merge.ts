import { buildCommand } from "@stricli/core";
import type { Cli } from "../cli.ts";
import { bare } from "../flags.ts";
import { json, runArgument } from "./parameters.ts";
import type { RunArgs } from "./parameters.ts";

export interface MergeFlags {
  readonly output?: string;
  readonly json: boolean;
}

const output = {
  kind: "parsed",
  parse: (input: string) => input,
  placeholder: "DIR",
  brief: "where the model goes (merged/ in the run's folder)",
  optional: true,
} as const;

export const merge = buildCommand<MergeFlags, RunArgs, Cli>({
  loader: () => import("./merge.run.ts"),
  parameters: { flags: bare({ output, json }), positional: runArgument },
  docs: { brief: "write a run's adapter and its base as one model" },
});
