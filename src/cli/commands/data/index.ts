import { buildRouteMap } from "@stricli/core";
import type { Cli } from "../../cli.ts";
import { bare } from "../../flags.ts";
import { check } from "./check.ts";
import { fix } from "./fix.ts";

export const data = buildRouteMap<string, Cli>({
  routes: bare({ check, fix }),
  docs: { brief: "look at your dataset before anything is paid" },
});
