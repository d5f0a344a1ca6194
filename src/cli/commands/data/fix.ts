import { buildCommand } from "@stricli/core";
import type { Cli } from "../../cli.ts";
import { bare, someConfigFlags } from "../../flags.ts";
import type { ConfigFlags } from "../../flags.ts";
import { json } from "../parameters.ts";
import { datasetArgument, outFlag } from "./parameters.ts";
import type { DatasetArgs } from "./parameters.ts";

export interface DataFixFlags {
  readonly json: boolean;
  readonly out?: string;
}

export const fix = buildCommand<DataFixFlags & ConfigFlags, DatasetArgs, Cli>({
  loader: () => import("./fix.run.ts"),
  parameters: {
    positional: datasetArgument,
    flags: bare({
      ...someConfigFlags("dataset", "columns", "rules", "strict", "split.groupBy"),
      out: outFlag("FILE", "the new file (NAME.fixed.jsonl beside the dataset)"),
      json,
    }),
  },
  docs: { brief: "write your dataset anew without bad rows, and a diff" },
});
