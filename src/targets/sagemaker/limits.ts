import type { Bucket } from "../../aws/s3.ts";
import { MoxiError } from "../../base/errors.ts";
import type { CloudSettings } from "../../run/plan.ts";
import type { RunRef } from "../target.ts";

/** The service's own longest run where nobody names one: one day. */
const defaultSeconds = 86_400;
/** A job that is ended by the service loses what it has not saved; this much is kept back, at most. */
const longestMargin = 600;

/** Seconds after which the service ends the attempt: what is left of the run's limit. */
export function jobSeconds({ plan, attempt }: RunRef): number {
  return attempt.maxSeconds ?? plan.limits.maxSeconds ?? defaultSeconds;
}

/**
 * Seconds after which the supervisor saves and ends by itself: a tenth less, ten minutes at most,
 * for the checkpoint, the model and their upload, which are part of the job's time.
 */
export function trainingSeconds(ref: RunRef): number {
  const seconds = jobSeconds(ref);
  return Math.max(1, seconds - Math.min(longestMargin, Math.ceil(seconds / 10)));
}

/** Where the run is in the cloud. */
export function cloudOf({ plan, run }: Pick<RunRef, "plan" | "run">): CloudSettings {
  if (plan.cloud !== null) return plan.cloud;
  throw new MoxiError("E_RUN_FOLDER", `the plan of ${run} names no cloud, and its target is one`, {
    hint: "start a new run with moxi train",
  });
}

/**
 * Where a run keeps everything. It must be of the role's account, so that somebody else's bucket of
 * that name never gets the user's data; what is put there has the run's key.
 */
export function bucketOf({ bucket, roleArn, kmsKey }: CloudSettings): Bucket {
  const owner = /^arn:[^:]+:iam::(\d{12}):/.exec(roleArn)?.[1];
  return {
    name: bucket,
    ...(owner === undefined ? {} : { owner }),
    ...(kmsKey === null ? {} : { kmsKeyId: kmsKey }),
  };
}
