import { buildCommand } from "@stricli/core";
import type { Cli } from "../cli.ts";
import { bare } from "../flags.ts";
import { json } from "./parameters.ts";

export interface RunsFlags {
  readonly all: boolean;
  readonly remote: boolean;
  readonly json: boolean;
}

/** How many of the newest runs are listed unless all are asked for. */
export const listedRuns = 20;

export const runs = buildCommand<RunsFlags, [], Cli>({
  loader: () => import("./runs.run.ts"),
  parameters: {
    flags: bare({
      all: {
        kind: "boolean",
        brief: `every run, not only the newest ${listedRuns}`,
        default: false,
        withNegated: false,
      },
      remote: {
        kind: "boolean",
        brief: "also runs of the AWS account from other machines",
        default: false,
        withNegated: false,
      },
      json,
    }),
  },
  docs: { brief: "list the runs of this project, newest first" },
});
