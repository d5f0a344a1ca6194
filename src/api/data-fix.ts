import { resolve } from "node:path";
import type { FixResult } from "../dataset/fix.ts";
import { load } from "./config.ts";
import type { Context } from "./context.ts";
import { checkSettings } from "./data-check.ts";
import type { DataCheckOptions } from "./data-check.ts";

export interface DataFixOptions extends DataCheckOptions {
  /** The new file; else beside the dataset, with `.fixed.jsonl` at its end. */
  readonly out?: string | undefined;
}

/**
 * Writes a dataset anew, without what is safe to mend, and what was changed; the original stays.
 *
 * @throws MoxiError E_USAGE if the new file is there already; and all that `dataCheck` throws
 */
export async function dataFix(
  context: Context,
  { path, flags, out }: DataFixOptions = {},
): Promise<FixResult> {
  const { config } = await load(context, flags);
  const { fixDataset } = await import("../dataset/fix.ts");
  return fixDataset({
    path: path ?? config.dataset,
    cwd: context.cwd,
    ...checkSettings(config),
    groupBy: path === undefined ? config.split.groupBy : undefined,
    host: context.host,
    ...(out === undefined ? {} : { out: resolve(context.cwd, out) }),
  });
}
