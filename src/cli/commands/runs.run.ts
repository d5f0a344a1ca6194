import { runs } from "../../api/runs.ts";
import { printable } from "../../base/format.ts";
import type { Cli } from "../cli.ts";
import { writeJson } from "../host/json.ts";
import { runLines } from "../render/runs.ts";
import { command } from "../render/words.ts";
import { listedRuns } from "./runs.ts";
import type { RunsFlags } from "./runs.ts";

export default async function (this: Cli, flags: RunsFlags): Promise<void> {
  const { out, err } = this.terminal;
  const { all, remote } = flags;
  const list = await runs(this.context(), { limit: all ? null : listedRuns, remote });
  if (flags.json) return writeJson(out, { formatVersion: 1, runs: list });
  if (list.length === 0) return err.write(`no runs here yet: ${command} train starts one\n`);
  const lines = runLines(list, { columns: out.columns(), style: out.style });
  out.write(lines.map((line) => `${line}\n`).join(""));
  for (const { run, status, error } of list) {
    if (status === "unreadable" || status === "unknown")
      err.write(`${printable(`${run}: ${error}`)}\n`);
  }
  if (!flags.all && list.length === listedRuns) {
    err.write(err.style.dim(`the newest ${listedRuns}; ${command} runs --all lists every run\n`));
  }
}
