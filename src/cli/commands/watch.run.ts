import type { Cli } from "../cli.ts";
import { follow } from "../host/follow.ts";
import { presenterFor } from "../host/prepare.ts";
import type { WatchFlags } from "./watch.ts";

export default async function (this: Cli, flags: WatchFlags, run?: string): Promise<void> {
  const presenter = presenterFor(this, flags);
  const context = this.context(presenter);
  this.exitWith(await follow(context, this.terminal, presenter, { run, interrupt: "leave" }));
}
