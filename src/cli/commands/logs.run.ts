import { logs } from "../../api/logs.ts";
import { printable } from "../../base/format.ts";
import type { Cli } from "../cli.ts";
import { writeJson } from "../host/json.ts";
import type { LogsFlags } from "./logs.ts";

export default async function (this: Cli, flags: LogsFlags, run?: string): Promise<void> {
  const { out, onInterrupt } = this.terminal;
  const leave = new AbortController();
  const forget = onInterrupt(() => leave.abort());
  try {
    const lines = logs(this.context(), { run, follow: flags.follow, signal: leave.signal });
    for await (const line of lines) {
      if (flags.json) writeJson(out, line);
      else out.write(`${printable(line.text)}\n`);
    }
  } finally {
    forget();
  }
  if (leave.signal.aborted) this.exitWith(130);
}
