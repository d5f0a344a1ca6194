import { train } from "../../api/train.ts";
import type { Cli } from "../cli.ts";
import { givenSettings } from "../flags.ts";
import type { ConfigFlags } from "../flags.ts";
import { follow } from "../host/follow.ts";
import { prepare, presenterFor } from "../host/prepare.ts";
import type { TrainFlags } from "./train.ts";

export default async function (this: Cli, flags: TrainFlags & ConfigFlags): Promise<void> {
  const presenter = presenterFor(this, flags);
  const context = this.context(presenter);
  const { run, created, previous } = await prepare(this, presenter, (signal) =>
    train(context, {
      flags: givenSettings(flags),
      runId: flags.runId,
      whenBusy: flags.wait ? "wait" : "refuse",
      signal,
    }),
  );
  const how = created ? "created" : "attached";
  presenter.started({ how, run, previous });
  this.exitWith(await follow(context, this.terminal, presenter, { run, interrupt: "stop" }));
}
