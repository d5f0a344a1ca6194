import type { Context } from "./context.ts";
import { findTrainer } from "./trainer.ts";

/** The interpreter that trains on this machine; installs it when it is missing. */
export async function preparePython(context: Context, signal?: AbortSignal): Promise<string> {
  const { env, home, host, clock } = context;
  const { ensurePython } = await import("../python/ensure.ts");
  const { lockFile } = findTrainer();
  const sleep = clock.sleep.bind(clock);
  return (await ensurePython({ env, home, host, lockFile, signal, sleep })).python;
}
