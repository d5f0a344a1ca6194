import type { Check } from "../run/check.ts";
import { newRunId } from "../run/id.ts";
import type { Plan } from "../run/plan.ts";
import { newAttempt, runsFolder } from "../store/runs.ts";
import type { PlannedRequest } from "../targets/target.ts";
import { join } from "node:path";
import { load } from "./config.ts";
import { offerOf } from "./consent.ts";
import type { Offer } from "./consent.ts";
import type { Context } from "./context.ts";
import { planRun } from "./plan-run.ts";
import { preflight } from "./ready.ts";
import { chosenId } from "./train.ts";
import type { TrainOptions } from "./train.ts";

/** What `train` would do. */
export interface DryRun {
  readonly formatVersion: 1;
  /** `train --plan` carries it out to the letter. */
  readonly plan: Plan;
  readonly checks: readonly Check[];
  /** What it can cost; `null` where nothing is paid. */
  readonly offer: Offer | null;
  /** Every request that would change something, in order. */
  readonly requests: readonly PlannedRequest[];
}

/**
 * Checks and plans a run, and tells every request that would start it. Sends none of them: the
 * checks only read.
 *
 * @throws MoxiError what `train` throws before the start
 */
export async function dryRun(
  context: Context,
  options: Pick<TrainOptions, "flags" | "runId" | "plan"> = {},
): Promise<DryRun> {
  const chosen = chosenId(options.runId);
  const loaded = await load(context, options.flags);
  for (const text of loaded.warnings) context.host.notify({ type: "warning", text });
  const { plan, submission, target, price } = await planRun(context, loaded, options.plan);
  const checks = await preflight(context, target, plan);
  const now = context.clock.now();
  const run = chosen ?? newRunId(now);
  const attempt = { ...newAttempt(run, 1, plan.target, now), ...(price && { price }) };
  const folder = join(runsFolder(loaded.folder), run);
  const requests = await target.rehearse({ run, folder, plan, attempt, ...submission });
  return { formatVersion: 1, plan, checks, offer: offerOf(plan, price), requests };
}
