import { buildCommand } from "@stricli/core";
import type { Cli } from "../../cli.ts";
import { bare, configFlags } from "../../flags.ts";
import type { ConfigFlags } from "../../flags.ts";
import { json } from "../parameters.ts";
import { datasetArgument } from "./parameters.ts";
import type { DatasetArgs } from "./parameters.ts";

export interface DataStatsFlags {
  readonly json: boolean;
}

export const stats = buildCommand<DataStatsFlags & ConfigFlags, DatasetArgs, Cli>({
  loader: () => import("./stats.run.ts"),
  parameters: { positional: datasetArgument, flags: bare({ ...configFlags, json }) },
  docs: { brief: "count rows and the tokens that the model will see" },
});
