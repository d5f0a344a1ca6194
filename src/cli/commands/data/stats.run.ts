import { dataStats } from "../../../api/data-stats.ts";
import type { Cli } from "../../cli.ts";
import { givenSettings } from "../../flags.ts";
import type { ConfigFlags } from "../../flags.ts";
import { writeJson } from "../../host/json.ts";
import { prepare, presenterFor } from "../../host/prepare.ts";
import { keepYoungHeapSmall } from "../../memory.ts";
import { dataStatsLines } from "../../render/data-stats.ts";
import { looking } from "./parameters.ts";
import type { DataStatsFlags } from "./stats.ts";

export default async function (
  this: Cli,
  flags: DataStatsFlags & ConfigFlags,
  path?: string,
): Promise<void> {
  keepYoungHeapSmall();
  const { out } = this.terminal;
  const presenter = presenterFor(this, { json: false });
  const context = this.context(flags.json ? undefined : presenter);
  const options = { path, flags: givenSettings(flags) };
  const stats = await prepare(this, presenter, () => dataStats(context, options), looking);
  presenter.close();
  if (flags.json) return writeJson(out, { formatVersion: 1, ...stats });
  const lines = dataStatsLines(stats, { columns: out.columns(), style: out.style });
  out.write(lines.map((line) => `${line}\n`).join(""));
}
