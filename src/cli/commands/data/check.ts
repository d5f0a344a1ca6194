import { buildCommand } from "@stricli/core";
import type { Cli } from "../../cli.ts";
import { bare, configFlags } from "../../flags.ts";
import type { ConfigFlags } from "../../flags.ts";
import { json } from "../parameters.ts";
import { datasetArgument, maxPlacesFlag } from "./parameters.ts";
import type { DatasetArgs } from "./parameters.ts";

export interface DataCheckFlags {
  readonly json: boolean;
  readonly sarif: boolean;
  readonly maxPlaces?: string;
  readonly eval?: string;
}

export const check = buildCommand<DataCheckFlags & ConfigFlags, DatasetArgs, Cli>({
  loader: () => import("./check.run.ts"),
  parameters: {
    positional: datasetArgument,
    flags: bare({
      ...configFlags,
      eval: {
        kind: "parsed",
        brief: "held-out rows in a file of their own",
        placeholder: "PATH",
        parse: (input: string) => input,
        optional: true,
      },
      maxPlaces: maxPlacesFlag("places shown of each rule (5), or all"),
      sarif: {
        kind: "boolean",
        brief: "print SARIF, for code scanning",
        default: false,
        withNegated: false,
      },
      json,
    }),
  },
  docs: { brief: "tell everything that is wrong with your dataset" },
});
