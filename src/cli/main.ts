import { createContext } from "../api/context.ts";
import { runCli } from "./app.ts";
import { createTerminal } from "./terminal.ts";

// No top-level await: in the bundle the lazily loaded commands import the chunk that this ends up
// in, and the two would wait for each other.
void main();

async function main(): Promise<void> {
  process.exitCode = await runCli(process.argv.slice(2), {
    terminal: createTerminal(process),
    context: (host) => createContext(host === undefined ? {} : { host }),
    debug: process.env.MOXI_DEBUG === "1",
  });
  // After Ctrl-C nobody waits for work that cannot be called back, such as an installation.
  if (process.exitCode === 130) process.exit();
}
