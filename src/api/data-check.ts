import { MoxiError } from "../base/errors.ts";
import { nearestName, printable } from "../base/format.ts";
import type { Config } from "../config/config.ts";
import type { DatasetCheck } from "../dataset/report.ts";
import { ruleCodes } from "../dataset/rules/catalog.ts";
import type { Level } from "../dataset/rules/catalog.ts";
import { load } from "./config.ts";
import type { Context } from "./context.ts";
import { localDataset } from "./data-source.ts";

export interface DataCheckOptions {
  /** The dataset, from where the command was given; else the config's. */
  readonly path?: string | undefined;
  /** Held-out rows in a file of their own. */
  readonly evalPath?: string | undefined;
  /** Settings by their config key: stronger than every other source. */
  readonly flags?: Readonly<Record<string, unknown>> | undefined;
  /** Places that are kept of each rule; Infinity for all. Default: 5. */
  readonly maxPlaces?: number | undefined;
}

/**
 * Checks a dataset by every rule; nothing is written.
 *
 * @throws MoxiError E_DATASET_MISSING, E_DATASET_NOT_A_FILE, E_DATASET_EMPTY, E_PERMISSION; and what
 * is wrong with the config
 */
export async function dataCheck(
  context: Context,
  { path, evalPath, flags, maxPlaces }: DataCheckOptions = {},
): Promise<DatasetCheck> {
  const loaded = await load(context, flags);
  const { config } = loaded;
  const { checkDataset } = await import("../dataset/check.ts");
  const dataset = await localDataset(context, loaded, path ?? config.dataset);
  const check = await checkDataset({
    path: dataset,
    cwd: context.cwd,
    evalPath,
    ...checkSettings(config),
    // The project's field to group by is no field of just any file.
    groupBy: path === undefined ? config.split.groupBy : undefined,
    maxPlaces,
    host: context.host,
  });
  // Only a model that was asked for is looked at: it may have to be loaded.
  if (flags?.["model"] === undefined || check.unreadable !== null) return check;
  const { tokenProblems } = await import("./data-tokens.ts");
  const more = await tokenProblems(context, loaded, { path: dataset, maxPlaces });
  return { ...check, problems: [...check.problems, ...more] };
}

/** What the config says of the check. @throws MoxiError E_CONFIG_INVALID for a rule that is none */
export function checkSettings({ columns, rules = [], strict, skipBadRows }: Config) {
  const levels: Partial<Record<string, Level>> = {};
  for (const text of rules) {
    const [code = "", level] = text.split("=");
    if (!(ruleCodes as readonly string[]).includes(code)) {
      const near = nearestName(code, ruleCodes);
      throw new MoxiError("E_CONFIG_INVALID", `there is no dataset rule ${printable(code)}`, {
        hint: near === undefined ? `rules are ${ruleCodes.join(", ")}` : `did you mean ${near}?`,
        place: { field: "rules" },
      });
    }
    levels[code] = level as Level;
  }
  return { columns, levels, strict, skipBadRows };
}
