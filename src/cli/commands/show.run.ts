import { show } from "../../api/show.ts";
import type { Cli } from "../cli.ts";
import { writeJson } from "../host/json.ts";
import { showLines } from "../render/show.ts";
import type { ShowFlags } from "./show.ts";

export default async function (this: Cli, flags: ShowFlags, run?: string): Promise<void> {
  const { out } = this.terminal;
  const context = this.context();
  const view = await show(context, { run });
  if (flags.json) return writeJson(out, view);
  const { cwd, clock } = context;
  const lines = showLines(view, {
    columns: out.columns(),
    style: out.style,
    cwd,
    now: clock.now().getTime(),
  });
  out.write(lines.map((line) => `${line}\n`).join(""));
}
