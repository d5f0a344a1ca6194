import { smoke } from "../../api/smoke.ts";
import type { SmokeOptions } from "../../api/smoke.ts";
import type { Cli } from "../cli.ts";
import { smokeLines } from "../render/smoke.ts";
import { writeJson } from "./json.ts";
import { prepare, presenterFor } from "./prepare.ts";

/** Rehearses a job and shows it; returns the exit code: 0 when it succeeded, else 1. */
export async function rehearse(
  cli: Cli,
  options: SmokeOptions,
  flags: { readonly json: boolean },
): Promise<number> {
  const presenter = presenterFor(cli, flags);
  const context = cli.context(presenter);
  let logs: string[] = [];
  const result = await prepare(cli, presenter, (signal) =>
    smoke(context, {
      ...options,
      signal,
      onUpdate(update) {
        logs = [...logs, ...update.logs.map(({ text }) => text)].slice(-12);
        presenter.update(update);
      },
    }),
  );
  presenter.close();
  const { out } = cli.terminal;
  if (flags.json) writeJson(out, { type: "smoke", ...result });
  else {
    const { cwd } = context;
    const lines = smokeLines(result, { columns: out.columns(), style: out.style, cwd, logs });
    out.write(lines.map((line) => `${line}\n`).join(""));
  }
  return result.succeeded ? 0 : 1;
}
