import { buildCommand } from "@stricli/core";
import type { Cli } from "../cli.ts";
import { bare } from "../flags.ts";
import { json, runArgument } from "./parameters.ts";
import type { RunArgs } from "./parameters.ts";

export interface ShowFlags {
  readonly json: boolean;
}

export const show = buildCommand<ShowFlags, RunArgs, Cli>({
  loader: () => import("./show.run.ts"),
  parameters: { flags: bare({ json }), positional: runArgument },
  docs: { brief: "show a run: settings, curve, samples, where its model is" },
});
