import { dataSplit } from "../../../api/data-split.ts";
import { formatCount, printable } from "../../../base/format.ts";
import type { Cli } from "../../cli.ts";
import { givenSettings } from "../../flags.ts";
import type { ConfigFlags } from "../../flags.ts";
import { writeJson } from "../../host/json.ts";
import { prepare, presenterFor } from "../../host/prepare.ts";
import { pathText } from "../../render/words.ts";
import type { DataSplitFlags } from "./split.ts";

export default async function (
  this: Cli,
  flags: DataSplitFlags & ConfigFlags,
  path?: string,
): Promise<void> {
  const { out } = this.terminal;
  const presenter = presenterFor(this, { json: false });
  const context = this.context(flags.json ? undefined : presenter);
  const options = { path, out: flags.out, flags: givenSettings(flags) };
  const split = await prepare(this, presenter, () => dataSplit(context, options));
  presenter.close();
  if (flags.json) return writeJson(out, { formatVersion: 1, ...split });
  const { rows, trainFile, evalFile, groupBy, labels } = split;
  const shown = (file: string) => printable(pathText(file, context.cwd));
  const lines = [
    `${shown(trainFile)}: ${formatCount(rows.train)} rows to learn from`,
    `${shown(evalFile)}: ${formatCount(rows.eval)} rows to judge by`,
    groupBy === null
      ? "chosen by content: equal rows are on one side"
      : `chosen by ${printable(groupBy)}: no value of it is on both sides`,
  ];
  if (labels > 0) lines.push(`the answers are ${labels} labels: each is held out in its share`);
  if (rows.leftOut > 0) lines.push(`${formatCount(rows.leftOut)} rows were left out`);
  out.write(lines.map((line) => `${line}\n`).join(""));
}
