import { buildCommand } from "@stricli/core";
import type { Cli } from "../../cli.ts";
import { storageParameters } from "./parameters.ts";
import type { StorageArgs, StorageFlags } from "./parameters.ts";

export const cp = buildCommand<StorageFlags, StorageArgs, Cli>({
  loader: () => import("./cp.run.ts"),
  parameters: storageParameters,
  docs: { brief: "copy a file or a folder to S3 or from there" },
});
