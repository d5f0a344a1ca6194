import { buildCommand } from "@stricli/core";
import type { Cli } from "../../cli.ts";
import { bare, someConfigFlags } from "../../flags.ts";
import type { ConfigFlags } from "../../flags.ts";
import { json } from "../parameters.ts";
import { datasetArgument, outFlag } from "./parameters.ts";
import type { DatasetArgs } from "./parameters.ts";

export interface DataSplitFlags {
  readonly json: boolean;
  readonly out?: string;
}

export const split = buildCommand<DataSplitFlags & ConfigFlags, DatasetArgs, Cli>({
  loader: () => import("./split.run.ts"),
  parameters: {
    positional: datasetArgument,
    flags: bare({
      ...someConfigFlags("dataset", "columns", "skipBadRows", "split"),
      out: outFlag("FOLDER", "the folder for both files (the dataset's)"),
      json,
    }),
  },
  docs: { brief: "write rows to learn from and rows to judge by as two files" },
});
