import { dataConvert } from "../../../api/data-convert.ts";
import { formatCount, printable } from "../../../base/format.ts";
import type { Cli } from "../../cli.ts";
import type { ConfigFlags } from "../../flags.ts";
import type { DataConvertFlags } from "./convert.ts";
import { rewrite } from "./rewrite.ts";

export default async function (
  this: Cli,
  flags: DataConvertFlags & ConfigFlags,
  path?: string,
): Promise<void> {
  const { to } = flags;
  await rewrite(
    this,
    flags,
    path,
    (context, options) => dataConvert(context, { to, ...options }),
    ({ file, rows: { written, refused, leftOut }, lost }, shown) => {
      const lines = [`${shown(file)}: ${formatCount(written)} rows`];
      if (refused > 0) lines.push(`${formatCount(refused)} rows do not fit into the format`);
      if (leftOut > 0) lines.push(`${formatCount(leftOut)} rows cannot be read, and were left out`);
      if (lost.length === 0) lines.push("nothing was lost");
      for (const { what, rows: of } of lost) {
        lines.push(`lost of ${formatCount(of)} rows: ${printable(what)}`);
      }
      return lines;
    },
  );
}
