import { buildCommand } from "@stricli/core";
import type { Cli } from "../cli.ts";
import { bare, configFlags } from "../flags.ts";
import type { ConfigFlags } from "../flags.ts";
import { json } from "./parameters.ts";

export interface ConfigCommandFlags {
  readonly json: boolean;
}

export const config = buildCommand<ConfigCommandFlags & ConfigFlags, [], Cli>({
  loader: () => import("./config.run.ts"),
  parameters: { flags: bare({ ...configFlags, json }) },
  docs: { brief: "show every setting, its value and where the value comes from" },
});
