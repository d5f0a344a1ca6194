import { buildCommand } from "@stricli/core";
import type { Cli } from "../cli.ts";
import { bare, configFlags } from "../flags.ts";
import type { ConfigFlags } from "../flags.ts";
import { json, pull, wait, yes } from "./parameters.ts";

export interface TrainFlags {
  readonly runId?: string;
  readonly wait: boolean;
  readonly pull: boolean;
  readonly json: boolean;
  readonly yes: boolean;
  readonly plan?: string;
  readonly dryRun: boolean;
  readonly smoke: boolean;
}

export const train = buildCommand<TrainFlags & ConfigFlags, [], Cli>({
  loader: () => import("./train.run.ts"),
  parameters: {
    flags: bare({
      ...configFlags,
      runId: {
        kind: "parsed",
        brief: "name the run: the same id and plan never start twice",
        placeholder: "ID",
        parse: (input: string) => input,
        optional: true,
      },
      wait,
      pull,
      yes,
      plan: {
        kind: "parsed",
        brief: "carry out a saved plan to the letter",
        placeholder: "FILE",
        parse: (input: string) => input,
        optional: true,
      },
      dryRun: {
        kind: "boolean",
        brief: "check, plan, print every request; send and start nothing",
        default: false,
        withNegated: false,
      },
      smoke: {
        kind: "boolean",
        brief: "rehearse a cloud job here for two steps, free",
        default: false,
        withNegated: false,
      },
      json,
    }),
  },
  docs: { brief: "fine-tune a model on your dataset, and follow it to the end" },
});
