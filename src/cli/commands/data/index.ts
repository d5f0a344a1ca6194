import { buildRouteMap } from "@stricli/core";
import type { Cli } from "../../cli.ts";
import { bare } from "../../flags.ts";
import { check } from "./check.ts";
import { fix } from "./fix.ts";
import { show } from "./show.ts";
import { stats } from "./stats.ts";

export const data = buildRouteMap<string, Cli>({
  routes: bare({ check, show, stats, fix }),
  docs: { brief: "look at your dataset before anything is paid" },
});
