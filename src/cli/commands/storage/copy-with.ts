import type { Context } from "../../../api/context.ts";
import type { StorageResult } from "../../../api/storage-cp.ts";
import type { Host } from "../../../base/host.ts";
import { formatBytes, formatCount, plural } from "../../../base/format.ts";
import type { Cli } from "../../cli.ts";
import { writeJson } from "../../host/json.ts";
import { prepare, presenterFor } from "../../host/prepare.ts";
import type { StorageArgs, StorageFlags } from "./parameters.ts";

const interruption = {
  message: "interrupted",
  hint: "run the same command again: it goes on where it stopped",
  graceMs: 0,
};

/** The command of a verb that copies. Its progress is for terminals and programs alone. */
export function copyWith(
  verb: (context: Context, ...places: StorageArgs) => Promise<StorageResult>,
) {
  return async function (this: Cli, flags: StorageFlags, ...places: StorageArgs): Promise<void> {
    const { out, live } = this.terminal;
    const presenter = presenterFor(this, flags);
    const quiet: Host = {
      notify: (notice) => void (notice.type === "task" || presenter.notify(notice)),
    };
    const context = this.context(flags.json || live ? presenter : quiet);
    const done = await prepare(this, presenter, () => verb(context, ...places), interruption);
    presenter.close();
    if (flags.json) return writeJson(out, { type: "result", ...done });
    const files = `${plural(done.files, "file")}`;
    const facts = [
      `${files}, ${formatBytes(done.bytes)}`,
      done.resumedBytes === 0 ? "" : `${formatBytes(done.resumedBytes)} of it were there`,
      done.unchangedFiles === 0 ? "" : `${formatCount(done.unchangedFiles)} unchanged`,
    ];
    out.write(`${facts.filter((fact) => fact !== "").join("; ")}\n`);
  };
}
