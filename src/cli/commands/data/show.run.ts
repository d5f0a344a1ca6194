import { dataShow } from "../../../api/data-show.ts";
import { MoxiError } from "../../../base/errors.ts";
import type { Cli } from "../../cli.ts";
import { givenSettings } from "../../flags.ts";
import type { ConfigFlags } from "../../flags.ts";
import { writeJson } from "../../host/json.ts";
import { prepare, presenterFor } from "../../host/prepare.ts";
import { dataShowLines } from "../../render/data-show.ts";
import { looking } from "./parameters.ts";
import type { DataShowFlags } from "./show.ts";

export default async function (
  this: Cli,
  flags: DataShowFlags & ConfigFlags,
  row?: string,
  path?: string,
): Promise<void> {
  const { out } = this.terminal;
  if (row !== undefined && !/^[1-9]\d{0,11}$/.test(row)) {
    throw new MoxiError("E_USAGE", "a row is named by its number", {
      hint: "rows are counted from 1: moxi data show 12, or moxi data show 12 FILE",
      place: { field: "row" },
    });
  }
  const presenter = presenterFor(this, { json: false });
  const context = this.context(flags.json ? undefined : presenter);
  const options = { row: Number(row ?? 1), path, flags: givenSettings(flags) };
  const shown = await prepare(this, presenter, () => dataShow(context, options), looking);
  presenter.close();
  if (flags.json) return writeJson(out, { formatVersion: 1, ...shown });
  const lines = dataShowLines(shown, { columns: out.columns(), style: out.style });
  out.write(lines.map((line) => `${line}\n`).join(""));
}
