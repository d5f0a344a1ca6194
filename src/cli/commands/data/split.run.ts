import { dataSplit } from "../../../api/data-split.ts";
import { plural, printable } from "../../../base/format.ts";
import type { Cli } from "../../cli.ts";
import type { ConfigFlags } from "../../flags.ts";
import { rewrite } from "./rewrite.ts";
import type { DataSplitFlags } from "./split.ts";

export default async function (
  this: Cli,
  flags: DataSplitFlags & ConfigFlags,
  path?: string,
): Promise<void> {
  await rewrite(this, flags, path, dataSplit, (split, shown) => {
    const { rows, trainFile, evalFile, groupBy, labels } = split;
    const lines = [
      `${shown(trainFile)}: ${plural(rows.train, "row")} to learn from`,
      `${shown(evalFile)}: ${plural(rows.eval, "row")} to judge by`,
      groupBy === null
        ? "chosen by content: equal rows are on one side"
        : `chosen by ${printable(groupBy)}: no value of it is on both sides`,
    ];
    if (labels > 0) lines.push(`the answers are ${labels} labels: each is held out in its share`);
    if (rows.leftOut > 0)
      lines.push(`left out, as they cannot be read: ${plural(rows.leftOut, "row")}`);
    return lines;
  });
}
