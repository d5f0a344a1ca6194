import { buildCommand } from "@stricli/core";
import type { Cli } from "../cli.ts";
import { bare } from "../flags.ts";
import { json, pull, runArgument, wait, yes } from "./parameters.ts";
import type { RunArgs } from "./parameters.ts";

export interface ResumeFlags {
  readonly wait: boolean;
  readonly pull: boolean;
  readonly json: boolean;
  readonly yes: boolean;
}

export const resume = buildCommand<ResumeFlags, RunArgs, Cli>({
  loader: () => import("./resume.run.ts"),
  parameters: { flags: bare({ wait, yes, pull, json }), positional: runArgument },
  docs: { brief: "go on with a run that ended early, from its newest checkpoint" },
});
