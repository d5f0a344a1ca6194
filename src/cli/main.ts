import { createContext } from "../api/context.ts";
import { MoxiError } from "../base/errors.ts";
import { runCli } from "./app.ts";
import { createTerminal } from "./terminal.ts";
import { asksForJson } from "./usage.ts";

// No top-level await: in the bundle the lazily loaded commands import the chunk that this ends up
// in, and the two would wait for each other.
void main();

async function main(): Promise<void> {
  // A config is a program and may print, or what it imports does: that is no result of ours.
  const { error: toStderr } = console;
  Object.assign(console, { log: toStderr, info: toStderr, debug: toStderr });
  const terminal = createTerminal(process);
  const debug = process.env.MOXI_DEBUG === "1";
  const args = process.argv.slice(2);

  // A config can also wait for what never comes, or end the process: `moxi train && deploy` must
  // not take that for a success.
  let done = false;
  const tellStarved = () => void starved();
  const starved = async () => {
    const { reportError } = await import("./host/report.ts");
    const message = "moxi ended before its work was done: what it waited for never came";
    const hint = "look for an await in the config that never ends; else this is a bug in Moxi";
    const json = asksForJson(args);
    const error = new MoxiError("E_INTERNAL", message, { hint });
    process.exitCode = reportError(error, { terminal, json, debug });
  };
  process.once("beforeExit", tellStarved);
  process.once("exit", (code) => {
    if (done || code !== 0) return;
    process.exitCode = 1;
    process.stderr.write("moxi was ended before its work was done\n");
  });

  process.exitCode = await runCli(args, {
    terminal,
    context: (host) => createContext(host === undefined ? {} : { host }),
    debug,
  });
  done = true;
  process.off("beforeExit", tellStarved);
  // After Ctrl-C nobody waits for work that cannot be called back, such as an installation.
  if (process.exitCode === 130) process.exit();
}
