import { isMoxiError, MoxiError, toMoxiError } from "../base/errors.ts";
import type { Attempt } from "../run/attempt.ts";
import { normalRunId } from "../run/id.ts";
import { withLock } from "../store/lock.ts";
import { pickRun, runNotFound } from "../store/find.ts";
import { recordRun, runLock, writeAttempts } from "../store/runs.ts";
import type { RunRecord } from "../store/runs.ts";
import type { Target } from "../targets/target.ts";
import type { Context } from "./context.ts";
import { openElsewhere } from "./targets.ts";

// The run's own machine may be lost, or another's: what the cloud keeps of a run is enough to follow
// it, and the folder here is a cache of that.

/**
 * Finds a run that was started from another machine, and keeps its record here. Without a name it
 * is the newest that the cloud knows.
 *
 * @throws E_RUN_NOT_FOUND, and whatever keeps the cloud from answering
 */
export async function adoptRun(
  context: Context,
  runs: string,
  name: string | undefined,
): Promise<string> {
  let elsewhere = "";
  try {
    for (const target of await openElsewhere(context)) {
      elsewhere += `, nor on ${target.name}`;
      const run = await findElsewhere(target, name);
      if (run !== undefined && (await adoptExact(target, runs, run))) return run;
    }
  } catch (error) {
    const { code, message, hint } = toMoxiError(error);
    // It fits several runs, or is damaged: then it is there.
    if (code === "E_RUN_NOT_FOUND" || code === "E_RUN_FOLDER") throw error;
    const missing = await runNotFound(runs, name);
    throw new MoxiError(code, `${missing.message}, and the cloud cannot tell: ${message}`, {
      ...(hint === undefined ? {} : { hint }),
      cause: error,
    });
  }
  throw await runNotFound(runs, name, elsewhere);
}

async function findElsewhere(
  target: Target,
  name: string | undefined,
): Promise<string | undefined> {
  if (name === undefined) return (await target.list({ limit: 1 }))[0]?.run;
  if (!/^[a-z0-9-]{1,55}$/.test(name)) return undefined;
  const listed = await target.list({ contains: name, limit: null });
  const exact = normalRunId(name);
  return (
    pickRun(
      name,
      listed.map(({ run }) => run),
    ) ?? exact
  );
}

/** Whether a run of this very id is known there; its record is kept here then. */
export async function adoptExact(target: Target, runs: string, run: string): Promise<boolean> {
  const kept = await target.record(run);
  if (kept === undefined) return false;
  try {
    await recordRun(runs, run, kept.plan, kept.attempts);
  } catch (error) {
    // Another process has kept it meanwhile.
    if (!isMoxiError(error) || error.code !== "E_RUN_ID_TAKEN") throw error;
  }
  return true;
}

/** The record with what other machines have added to it: a run may have been resumed elsewhere. */
export async function refresh(
  { clock }: Pick<Context, "clock">,
  record: RunRecord,
  target: Target,
): Promise<RunRecord> {
  if (!target.capabilities.remote) return record;
  const kept = await target.record(record.run, record);
  if (kept === undefined) return record; // it is being submitted
  // What was kept first counts; what is here beyond it is being submitted.
  const attempts = [...kept.attempts, ...record.attempts.slice(kept.attempts.length)];
  const same = (one: Attempt | undefined, other: Attempt) => one?.nonce === other.nonce;
  if (attempts.every((each, index) => same(record.attempts[index], each))) return record;
  const fresh = { ...record, attempts };
  try {
    const options = { sleep: clock.sleep.bind(clock), patienceMs: 0 };
    await withLock(runLock(record.folder), options, () => writeAttempts(record, attempts));
  } catch (error) {
    // Somebody changes the run at this moment; the next look will bring it up to date.
    if (!isMoxiError(error) || error.code !== "E_RUN_STATE") throw error;
  }
  return fresh;
}
