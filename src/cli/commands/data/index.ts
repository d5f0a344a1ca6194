import { buildRouteMap } from "@stricli/core";
import type { Cli } from "../../cli.ts";
import { bare } from "../../flags.ts";
import { check } from "./check.ts";
import { convert } from "./convert.ts";
import { fix } from "./fix.ts";
import { show } from "./show.ts";
import { split } from "./split.ts";
import { stats } from "./stats.ts";

export const data = buildRouteMap<string, Cli>({
  routes: bare({ check, show, stats, split, convert, fix }),
  docs: { brief: "look at your dataset before anything is paid" },
});
