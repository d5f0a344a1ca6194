import type { Context } from "../../../api/context.ts";
import { printableName } from "../../../base/format.ts";
import type { Cli } from "../../cli.ts";
import { givenSettings } from "../../flags.ts";
import type { ConfigFlags } from "../../flags.ts";
import { writeJson } from "../../host/json.ts";
import { prepare, presenterFor } from "../../host/prepare.ts";
import { pathText } from "../../render/words.ts";

interface RewriteOptions {
  readonly path: string | undefined;
  readonly out: string | undefined;
  readonly flags: Readonly<Record<string, unknown>>;
  readonly signal: AbortSignal;
}

const interruption = {
  message: "interrupted: nothing was written",
  hint: "run the same command again",
  graceMs: 2000,
};

/**
 * Runs a command that writes a dataset anew, and tells what it wrote.
 *
 * @param lines for people; `shown` makes a path safe and short
 */
export async function rewrite<Result extends object>(
  cli: Cli,
  flags: { readonly json: boolean; readonly out?: string } & ConfigFlags,
  path: string | undefined,
  act: (context: Context, options: RewriteOptions) => Promise<Result>,
  lines: (result: Result, shown: (file: string) => string) => string[],
): Promise<void> {
  const { out } = cli.terminal;
  const presenter = presenterFor(cli, { json: false });
  const context = cli.context(flags.json ? undefined : presenter);
  const options = { path, out: flags.out, flags: givenSettings(flags) };
  const result = await prepare(
    cli,
    presenter,
    (signal) => act(context, { ...options, signal }),
    interruption,
  );
  presenter.close();
  if (flags.json) return writeJson(out, { formatVersion: 1, ...result });
  const shown = (file: string) => printableName(pathText(file, context.cwd));
  out.write(
    lines(result, shown)
      .map((line) => `${line}\n`)
      .join(""),
  );
}
