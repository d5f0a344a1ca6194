import { buildCommand } from "@stricli/core";
import { pullable } from "../../api/pullable.ts";
import type { Pullable } from "../../api/pullable.ts";
import type { Cli } from "../cli.ts";
import { bare } from "../flags.ts";
import { json, runArgument } from "./parameters.ts";
import type { RunArgs } from "./parameters.ts";

export interface PullFlags {
  readonly what?: Pullable;
  readonly output?: string;
  readonly json: boolean;
}

export const pull = buildCommand<PullFlags, RunArgs, Cli>({
  loader: () => import("./pull.run.ts"),
  parameters: {
    flags: bare({
      what: {
        kind: "enum",
        values: pullable,
        placeholder: "PART",
        brief: `${pullable.join(", ")} (what was made)`,
        optional: true,
      },
      output: {
        kind: "parsed",
        parse: (input: string) => input,
        placeholder: "DIR",
        brief: "where it goes (into the run's folder)",
        optional: true,
      },
      json,
    }),
    positional: runArgument,
  },
  docs: { brief: "bring what a run in the cloud has made to this machine" },
});
