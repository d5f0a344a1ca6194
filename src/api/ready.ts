import { MoxiError } from "../base/errors.ts";
import type { Check } from "../run/check.ts";
import type { Plan } from "../run/plan.ts";
import type { Target } from "../targets/target.ts";
import type { Context } from "./context.ts";

/** What to do when another run trains where only one can. */
export type WhenBusy = "refuse" | "wait";

/**
 * Runs the target's checks and tells them. The first that failed is the error, the others come with
 * it, each with the command that mends it.
 */
export async function preflight(
  context: Context,
  target: Target,
  plan: Plan,
): Promise<readonly Check[]> {
  const { host } = context;
  const checks = await target.preflight(plan);
  for (const check of checks) {
    const { name, result, message: text } = check;
    if (result === "warning") host.notify({ type: "warning", text, ...remedy(check) });
    // Where nothing is paid, nobody needs to hear what is in order.
    if (result === "ok" && target.capabilities.paid) {
      host.notify({ type: "task", id: "account", state: "done", text: `${name}: ${text}` });
    }
  }
  const [first, ...others] = checks.filter((check) => check.result === "failed");
  if (first === undefined) return checks;
  throw new MoxiError(first.code ?? "E_USAGE", first.message, {
    ...remedy(first),
    others: others.map((check) => ({ message: check.message, ...remedy(check) })),
  });
}

function remedy({ hint, command }: Check): Pick<Check, "hint" | "command"> {
  return { ...(hint === undefined ? {} : { hint }), ...(command === undefined ? {} : { command }) };
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
