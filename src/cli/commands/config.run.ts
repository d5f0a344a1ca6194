import { config } from "../../api/config.ts";
import type { Cli } from "../cli.ts";
import { givenSettings } from "../flags.ts";
import type { ConfigFlags } from "../flags.ts";
import { writeJson } from "../host/json.ts";
import { configLines } from "../render/config.ts";
import { alertLines } from "../render/lines.ts";
import type { ConfigCommandFlags } from "./config.ts";

export default async function (this: Cli, flags: ConfigCommandFlags & ConfigFlags): Promise<void> {
  const { out, err } = this.terminal;
  const context = this.context();
  const report = await config(context, { flags: givenSettings(flags) });
  if (flags.json) return writeJson(out, report);
  for (const message of report.warnings) {
    const options = { columns: err.columns(), style: err.style };
    err.write(`${alertLines({ level: "warning", message }, options).join("\n")}\n`);
  }
  const lines = configLines(report, { columns: out.columns(), style: out.style, cwd: context.cwd });
  out.write(lines.map((line) => `${line}\n`).join(""));
}
