import { buildRouteMap } from "@stricli/core";
import type { Cli } from "../../cli.ts";
import { bare } from "../../flags.ts";
import { cp } from "./cp.ts";
import { sync } from "./sync.ts";

export const storage = buildRouteMap<string, Cli>({
  routes: bare({ cp, sync }),
  docs: { brief: "move files to S3 and back" },
});
