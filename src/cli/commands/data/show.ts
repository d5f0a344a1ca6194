import { buildCommand } from "@stricli/core";
import type { Cli } from "../../cli.ts";
import { bare, configFlags } from "../../flags.ts";
import type { ConfigFlags } from "../../flags.ts";
import { json } from "../parameters.ts";
import { datasetArgument } from "./parameters.ts";

export interface DataShowFlags {
  readonly json: boolean;
}

export const show = buildCommand<DataShowFlags & ConfigFlags, [row?: string, path?: string], Cli>({
  loader: () => import("./show.run.ts"),
  parameters: {
    positional: {
      kind: "tuple",
      parameters: [
        {
          brief: "its number, from 1 (1)",
          placeholder: "row",
          parse: (input: string) => input,
          optional: true,
        },
        ...datasetArgument.parameters,
      ],
    },
    flags: bare({ ...configFlags, json }),
  },
  docs: { brief: "show a row as the model will see it, and what it learns" },
});
