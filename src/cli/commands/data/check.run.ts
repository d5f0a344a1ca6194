import { dataCheck } from "../../../api/data-check.ts";
import type { DatasetCheck } from "../../../dataset/report.ts";
import type { Cli } from "../../cli.ts";
import { givenSettings } from "../../flags.ts";
import type { ConfigFlags } from "../../flags.ts";
import { writeJson } from "../../host/json.ts";
import { prepare, presenterFor } from "../../host/prepare.ts";
import { checkLines } from "../../render/check.ts";
import type { DataCheckFlags } from "./check.ts";
import { looking, placesOf } from "./parameters.ts";

/** The exit code of a dataset with errors. */
const badDataset = 3;

export default async function (
  this: Cli,
  flags: DataCheckFlags & ConfigFlags,
  path?: string,
): Promise<void> {
  const { out } = this.terminal;
  // Progress is for people; programs get one object.
  const presenter = presenterFor(this, { json: false });
  const quiet = flags.json || flags.sarif;
  const context = this.context(quiet ? undefined : presenter);
  const options = {
    path,
    evalPath: flags.eval,
    flags: givenSettings(flags),
    maxPlaces: placesOf(flags.maxPlaces),
  };
  const check: DatasetCheck = await prepare(
    this,
    presenter,
    () => dataCheck(context, options),
    looking,
  );
  presenter.close();
  if (check.problems.some(({ severity }) => severity === "error")) this.exitWith(badDataset);
  if (flags.sarif) {
    const { sarifOf } = await import("../../render/sarif.ts");
    return writeJson(out, sarifOf(check));
  }
  if (flags.json) {
    const { reportOf } = await import("../../../dataset/report.ts");
    return writeJson(out, reportOf(check));
  }
  const lines = checkLines(check, { columns: out.columns(), style: out.style });
  out.write(lines.map((line) => `${line}\n`).join(""));
}
