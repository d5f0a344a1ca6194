import { MoxiError } from "../base/errors.ts";
import type { Plan } from "../run/plan.ts";
import type { Target } from "../targets/target.ts";
import type { Context } from "./context.ts";
import { findTrainer } from "./trainer.ts";

/** What to do when another run trains where only one can. */
export type WhenBusy = "refuse" | "wait";

/** The interpreter that trains on this machine; installs it when it is missing. */
export async function preparePython(context: Context, signal?: AbortSignal): Promise<string> {
  const { env, home, host, clock } = context;
  const { ensurePython } = await import("../python/ensure.ts");
  const { lockFile } = findTrainer();
  const sleep = clock.sleep.bind(clock);
  return (await ensurePython({ env, home, host, lockFile, signal, sleep })).python;
}

/** Runs the target's checks. The first that failed is the error; the others are its details. */
export async function preflight(context: Context, target: Target, plan: Plan): Promise<void> {
  const checks = await target.preflight(plan);
  for (const { result, message: text, hint } of checks) {
    if (result === "warning") context.host.notify({ type: "warning", text, ...(hint && { hint }) });
  }
  const [first, ...others] = checks.filter((check) => check.result === "failed");
  if (first === undefined) return;
  throw new MoxiError(first.code ?? "E_USAGE", first.message, {
    ...(first.hint === undefined ? {} : { hint: first.hint }),
    details: others.map((check) => check.message),
  });
}

const pollMs = 1000;

/** Returns when nothing else trains on the target's only machine. */
export async function awaitMachine(
  { host, clock }: Context,
  target: Target,
  options: { readonly whenBusy?: WhenBusy | undefined; readonly signal?: AbortSignal | undefined },
): Promise<void> {
  let waited = false;
  for (let busy = await target.occupant(); busy !== null; busy = await target.occupant()) {
    if (options.whenBusy !== "wait") {
      throw new MoxiError("E_MACHINE_BUSY", `${busy.run} is training on this machine`, {
        hint: "wait for it with --wait, or end it with moxi stop (a checkpoint is kept)",
        place: { file: busy.folder },
      });
    }
    if (options.signal?.aborted === true)
      throw new MoxiError("E_INTERRUPTED", "the waiting was interrupted");
    const text = `waiting for ${busy.run}, which trains on this machine`;
    if (!waited) host.notify({ type: "task", id: "machine", state: "started", text });
    waited = true;
    await clock.sleep(pollMs, options.signal);
  }
  if (waited)
    host.notify({ type: "task", id: "machine", state: "done", text: "the machine is free" });
}
