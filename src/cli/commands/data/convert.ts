import { buildCommand } from "@stricli/core";
import type { Cli } from "../../cli.ts";
import { bare, someConfigFlags } from "../../flags.ts";
import type { ConfigFlags } from "../../flags.ts";
import { json } from "../parameters.ts";
import { datasetArgument, maxPlacesFlag, outFlag } from "./parameters.ts";
import type { DatasetArgs } from "./parameters.ts";

export interface DataConvertFlags {
  readonly json: boolean;
  readonly to: "chat" | "openai" | "prompt" | "alpaca" | "sharegpt" | "text";
  readonly out?: string;
  readonly maxPlaces?: string;
}

export const convert = buildCommand<DataConvertFlags & ConfigFlags, DatasetArgs, Cli>({
  loader: () => import("./convert.run.ts"),
  parameters: {
    positional: datasetArgument,
    flags: bare({
      ...someConfigFlags("dataset", "columns", "skipBadRows", "split.groupBy"),
      to: {
        kind: "enum",
        values: ["chat", "openai", "prompt", "alpaca", "sharegpt", "text"],
        brief: "chat, openai, prompt, alpaca, sharegpt or text",
      },
      out: outFlag("FILE", "the new file (NAME.FORMAT.jsonl beside the dataset)"),
      maxPlaces: maxPlacesFlag("kinds of losses shown (5), or all"),
      json,
    }),
  },
  docs: { brief: "write your dataset in another format, and tell what is lost" },
});
