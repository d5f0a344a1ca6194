import { dataConvert } from "../../../api/data-convert.ts";
import { plural, printable } from "../../../base/format.ts";
import type { Cli } from "../../cli.ts";
import type { ConfigFlags } from "../../flags.ts";
import type { DataConvertFlags } from "./convert.ts";
import { placesOf } from "./parameters.ts";
import { rewrite } from "./rewrite.ts";

export default async function (
  this: Cli,
  flags: DataConvertFlags & ConfigFlags,
  path?: string,
): Promise<void> {
  const { to } = flags;
  const most = placesOf(flags.maxPlaces) ?? 5;
  await rewrite(
    this,
    flags,
    path,
    (context, options) => dataConvert(context, { to, ...options }),
    ({ file, rows: { written, refused, leftOut }, lost }, shown) => {
      const lines = [`${shown(file)}: ${plural(written, "row")}`];
      if (refused > 0)
        lines.push(`left out, as they do not fit into the format: ${plural(refused, "row")}`);
      if (leftOut > 0) lines.push(`left out, as they cannot be read: ${plural(leftOut, "row")}`);
      if (lost.length === 0) lines.push("nothing was lost");
      for (const { what, rows: of } of lost.slice(0, most)) {
        lines.push(`lost of ${plural(of, "row")}: ${printable(what).replace(/\s+/g, " ")}`);
      }
      if (lost.length > most) {
        lines.push(
          `and ${plural(lost.length - most, "more loss").replace(/losss$/, "losses")}: --max-places all`,
        );
      }
      return lines;
    },
  );
}
