import { buildCommand } from "@stricli/core";
import type { Cli } from "../../cli.ts";
import { storageParameters } from "./parameters.ts";
import type { StorageArgs, StorageFlags } from "./parameters.ts";

export const sync = buildCommand<StorageFlags, StorageArgs, Cli>({
  loader: () => import("./sync.run.ts"),
  parameters: storageParameters,
  docs: { brief: "copy only what differs on the other side; nothing is removed" },
});
