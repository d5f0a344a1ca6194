import { dataConvert } from "../../../api/data-convert.ts";
import { formatCount, printable } from "../../../base/format.ts";
import type { Cli } from "../../cli.ts";
import { givenSettings } from "../../flags.ts";
import type { ConfigFlags } from "../../flags.ts";
import { writeJson } from "../../host/json.ts";
import { prepare, presenterFor } from "../../host/prepare.ts";
import { pathText } from "../../render/words.ts";
import type { DataConvertFlags } from "./convert.ts";

export default async function (
  this: Cli,
  flags: DataConvertFlags & ConfigFlags,
  path?: string,
): Promise<void> {
  const { out } = this.terminal;
  const presenter = presenterFor(this, { json: false });
  const context = this.context(flags.json ? undefined : presenter);
  const options = { to: flags.to, path, out: flags.out, flags: givenSettings(flags) };
  const { file, rows, lost } = await prepare(this, presenter, () => dataConvert(context, options));
  presenter.close();
  if (flags.json) return writeJson(out, { formatVersion: 1, file, rows, lost });
  const { written, refused, leftOut } = rows;
  const lines = [`${printable(pathText(file, context.cwd))}: ${formatCount(written)} rows`];
  if (refused > 0) lines.push(`${formatCount(refused)} rows do not fit into the format`);
  if (leftOut > 0) lines.push(`${formatCount(leftOut)} rows cannot be read, and were left out`);
  if (lost.length === 0) lines.push("nothing was lost");
  for (const { what, rows: of } of lost) {
    lines.push(`lost of ${formatCount(of)} rows: ${printable(what)}`);
  }
  out.write(lines.map((line) => `${line}\n`).join(""));
}
