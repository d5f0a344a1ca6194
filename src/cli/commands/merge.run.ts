import { relative } from "node:path";
import { merge } from "../../api/merge.ts";
import { formatBytes } from "../../base/format.ts";
import type { Cli } from "../cli.ts";
import { writeJson } from "../host/json.ts";
import { prepare, presenterFor } from "../host/prepare.ts";
import type { MergeFlags } from "./merge.ts";

export default async function (this: Cli, flags: MergeFlags, run?: string): Promise<void> {
  const presenter = presenterFor(this, flags);
  // Programs get one value, as from show.
  const context = flags.json ? this.context() : this.context(presenter);
  const { output } = flags;
  const done = await prepare(this, presenter, (signal) => merge(context, { run, output, signal }));
  presenter.close();
  if (flags.json) return writeJson(this.terminal.out, done);
  const place = relative(context.cwd, done.folder);
  const shown = place.startsWith("..") ? done.folder : place;
  this.terminal.out.write(`${shown}  ${done.files} files, ${formatBytes(done.bytes)}\n`);
}
