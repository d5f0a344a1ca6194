import { isUnsubmitted, markSubmitted, readRun, runLock } from "../store/runs.ts";
import { lockHolder, withLock } from "../store/lock.ts";
import type { Continuation, Submission, Target } from "../targets/target.ts";
import type { Context } from "./context.ts";
import { refsOf } from "./open.ts";

/** Sending gigabytes over a slow line takes hours; a second command waits for the first. */
const patienceMs = 24 * 3600_000;

/**
 * Submits the newest attempt of a recorded run, unless its target has accepted it. Whoever was
 * killed on the way left an attempt that is not known to be accepted: the next command that means
 * the same run comes here and goes on with it, under the same name.
 */
export async function handOver(
  { host, clock }: Context,
  target: Target,
  folder: string,
  inputs:
    | Pick<Submission, "dataset" | "modelFolder" | "adapterFolder">
    | Pick<Continuation, "kept">,
): Promise<void> {
  const lock = runLock(folder);
  if ((await lockHolder(lock)) !== undefined) {
    host.notify({ type: "info", text: "another moxi submits this run: waiting for it" });
  }
  const sleep = clock.sleep.bind(clock);
  await withLock(lock, { sleep, patienceMs }, async () => {
    const record = await readRun(folder);
    if (!isUnsubmitted(record)) return;
    const newest = refsOf(record).at(-1)!;
    // Later attempts have the adapter from the first.
    const later = newest.attempt.attempt > 1 && !("kept" in inputs);
    await target.submit({ ...newest, ...inputs, ...(later && { adapterFolder: null }) });
    await markSubmitted(record, clock.now());
  });
}
