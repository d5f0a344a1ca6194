import { basename, resolve } from "node:path";
import type { FixResult } from "../dataset/fix.ts";
import { load } from "./config.ts";
import type { Context } from "./context.ts";
import { checkSettings } from "./data-check.ts";
import type { DataCheckOptions } from "./data-check.ts";
import { localDataset } from "./data-source.ts";

export interface DataFixOptions extends DataCheckOptions {
  /** The new file; else beside the dataset, with `.fixed.jsonl` at its end. */
  readonly out?: string | undefined;
  /** Calls it back: nothing is left then. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Writes a dataset anew, without what is safe to mend, and what was changed; the original stays.
 *
 * @throws MoxiError E_USAGE if the new file is there already; and all that `dataCheck` throws
 */
export async function dataFix(
  context: Context,
  { path, flags, out, signal }: DataFixOptions = {},
): Promise<FixResult> {
  const loaded = await load(context, flags);
  const { config } = loaded;
  const { fixDataset, fixedName } = await import("../dataset/fix.ts");
  const named = path ?? config.dataset;
  const dataset = await localDataset(context, loaded, named);
  // What was fetched lies in a cache: new files of it belong where the command was given.
  const beside = named === dataset ? undefined : fixedName(basename(dataset));
  const file = out ?? beside;
  return fixDataset({
    path: dataset,
    cwd: context.cwd,
    ...checkSettings(config),
    groupBy: path === undefined ? config.split.groupBy : undefined,
    host: context.host,
    ...(file === undefined ? {} : { out: resolve(context.cwd, file) }),
    signal,
  });
}
