import { dataFix } from "../../../api/data-fix.ts";
import { formatCount, plural } from "../../../base/format.ts";
import type { Cli } from "../../cli.ts";
import type { ConfigFlags } from "../../flags.ts";
import type { DataFixFlags } from "./fix.ts";
import { rewrite } from "./rewrite.ts";

export default async function (
  this: Cli,
  flags: DataFixFlags & ConfigFlags,
  path?: string,
): Promise<void> {
  await rewrite(this, flags, path, dataFix, ({ file, diffFile, rows }, shown) => [
    `${shown(file)}: ${plural(rows.kept, "row")}; ${formatCount(rows.dropped)} left out, ${formatCount(rows.mended)} mended`,
    rows.dropped + rows.mended === 0
      ? "nothing had to be mended"
      : `${shown(diffFile)} tells which and why; the dataset itself is as it was`,
  ]);
}
