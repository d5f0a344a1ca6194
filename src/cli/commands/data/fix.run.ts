import { dataFix } from "../../../api/data-fix.ts";
import { formatCount, printable } from "../../../base/format.ts";
import type { Cli } from "../../cli.ts";
import { givenSettings } from "../../flags.ts";
import type { ConfigFlags } from "../../flags.ts";
import { writeJson } from "../../host/json.ts";
import { prepare, presenterFor } from "../../host/prepare.ts";
import { pathText } from "../../render/words.ts";
import type { DataFixFlags } from "./fix.ts";

export default async function (
  this: Cli,
  flags: DataFixFlags & ConfigFlags,
  path?: string,
): Promise<void> {
  const { out } = this.terminal;
  const presenter = presenterFor(this, { json: false });
  const context = this.context(flags.json ? undefined : presenter);
  const options = { path, out: flags.out, flags: givenSettings(flags) };
  const { file, diffFile, rows } = await prepare(this, presenter, () => dataFix(context, options));
  presenter.close();
  if (flags.json) return writeJson(out, { formatVersion: 1, file, diffFile, rows });
  const shown = (one: string) => printable(pathText(one, context.cwd));
  const { kept, dropped, mended } = rows;
  out.write(
    `${shown(file)}: ${formatCount(kept)} rows; ${formatCount(dropped)} left out, ${formatCount(mended)} mended\n` +
      `${shown(diffFile)} tells which and why; the dataset itself is as it was\n`,
  );
}
