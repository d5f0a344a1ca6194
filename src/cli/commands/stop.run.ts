import { stop } from "../../api/stop.ts";
import type { Cli } from "../cli.ts";
import { writeJson } from "../host/json.ts";
import { presenterFor } from "../host/prepare.ts";
import type { StopFlags } from "./stop.ts";

export default async function (this: Cli, flags: StopFlags, run?: string): Promise<void> {
  const presenter = presenterFor(this, flags);
  // Programs get one value, as from show.
  const context = this.context(flags.json ? undefined : presenter);
  const how = flags.abort ? "abort" : "checkpoint";
  const text = flags.abort ? "ending the run" : "saving a checkpoint and ending the run";
  try {
    const onStopping = flags.json
      ? undefined
      : () => presenter.notify({ type: "task", id: "stop", state: "started", text });
    const view = await stop(context, { run, how, onStopping });
    if (flags.json) writeJson(this.terminal.out, view);
    else presenter.ended(view);
  } finally {
    presenter.close();
  }
}
