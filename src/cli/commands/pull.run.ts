import { pull } from "../../api/pull.ts";
import type { PullResult } from "../../api/pull.ts";
import { formatBytes } from "../../base/format.ts";
import type { Cli } from "../cli.ts";
import { writeJson } from "../host/json.ts";
import { prepare, presenterFor } from "../host/prepare.ts";
import { pathText } from "../render/words.ts";
import type { PullFlags } from "./pull.ts";

export default async function (this: Cli, flags: PullFlags, run?: string): Promise<void> {
  const presenter = presenterFor(this, flags);
  const context = this.context(presenter);
  const { what, output } = flags;
  const done = await prepare(this, presenter, (signal) =>
    pull(context, { run, what, output, signal }),
  );
  presenter.close();
  const { out } = this.terminal;
  if (flags.json) return writeJson(out, { type: "result", ...done });
  out.write(`${pathText(done.folder, context.cwd)}  ${sizeText(done)}\n`);
}

/** "the adapter, 9 files, 2.2 MB", and whether it was here. */
function sizeText({ what, files, bytes, resumedBytes }: PullResult): string {
  const size = `the ${what}, ${files} files, ${formatBytes(bytes)}`;
  return bytes > 0 && resumedBytes === bytes ? `${size}: it was here already` : size;
}
