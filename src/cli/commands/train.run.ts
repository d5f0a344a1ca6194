import { flushCompileCache } from "node:module";
import { dryRun } from "../../api/dry-run.ts";
import { train } from "../../api/train.ts";
import type { Cli } from "../cli.ts";
import { givenSettings } from "../flags.ts";
import type { ConfigFlags } from "../flags.ts";
import { follow } from "../host/follow.ts";
import { writeJson } from "../host/json.ts";
import { prepare, presenterFor } from "../host/prepare.ts";
import { askOffer } from "../host/ask.ts";
import { dryRunLines } from "../render/dry-run.ts";
import { usageError } from "../usage.ts";
import type { TrainFlags } from "./train.ts";

export default async function (this: Cli, flags: TrainFlags & ConfigFlags): Promise<void> {
  if (flags.smoke) {
    if (flags.dryRun) throw usageError("--smoke and --dry-run are two commands: give one of them");
    const { rehearse } = await import("../host/rehearse.ts");
    const whenBusy = flags.wait ? "wait" : "refuse";
    const settings = { flags: givenSettings(flags), plan: flags.plan, whenBusy } as const;
    return this.exitWith(await rehearse(this, settings, flags));
  }
  const presenter = presenterFor(this, flags);
  const context = this.context(presenter);
  const { runId, plan, yes } = flags;
  const settings = { flags: givenSettings(flags), runId, plan };
  if (flags.dryRun) {
    const told = await prepare(this, presenter, () => dryRun(context, settings));
    presenter.close();
    const { out } = this.terminal;
    if (flags.json) return writeJson(out, { type: "dry run", ...told });
    const lines = dryRunLines(told, { columns: out.columns(), style: out.style });
    return out.write(lines.map((line) => `${line}\n`).join(""));
  }
  const { run, created, previous } = await prepare(this, presenter, (signal) =>
    train(context, {
      ...settings,
      yes,
      ask: flags.json ? undefined : askOffer(this.terminal, presenter),
      whenBusy: flags.wait ? "wait" : "refuse",
      signal,
    }),
  );
  const how = created ? "created" : "attached";
  presenter.started({ how, run, previous });
  // Whoever closes the terminal now ends this process without the end that would keep it.
  flushCompileCache();
  const { pull } = flags;
  this.exitWith(await follow(context, this.terminal, presenter, { run, interrupt: "stop", pull }));
}
