import { resume } from "../../api/resume.ts";
import type { Cli } from "../cli.ts";
import { askOffer } from "../host/ask.ts";
import { follow } from "../host/follow.ts";
import { prepare, presenterFor } from "../host/prepare.ts";
import type { ResumeFlags } from "./resume.ts";

export default async function (this: Cli, flags: ResumeFlags, given?: string): Promise<void> {
  const presenter = presenterFor(this, flags);
  const context = this.context(presenter);
  const { run } = await prepare(this, presenter, (signal) =>
    resume(context, {
      run: given,
      whenBusy: flags.wait ? "wait" : "refuse",
      yes: flags.yes,
      ask: flags.json ? undefined : askOffer(this.terminal, presenter),
      signal,
    }),
  );
  presenter.started({ how: "resumed", run, previous: null });
  const { pull } = flags;
  this.exitWith(await follow(context, this.terminal, presenter, { run, interrupt: "stop", pull }));
}
