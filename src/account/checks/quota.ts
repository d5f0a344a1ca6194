import type { Aws } from "../../aws/aws.ts";
import type { Quota } from "../../aws/quotas.ts";
import type { TrainingJob } from "../../aws/sagemaker.ts";
import { toMoxiError } from "../../base/errors.ts";
import { formatDuration } from "../../base/format.ts";
import type { Check } from "../../run/check.ts";
import type { Place, Wanted } from "../wanted.ts";

const longest = "Longest run time for a training job";

/** What Service Quotas and SageMaker tell; or why they do not. */
export type QuotaFacts =
  | {
      readonly quotas: ReadonlyMap<string, Quota>;
      /** Undefined where they may not be listed. */
      readonly jobs: Jobs | undefined;
    }
  | { readonly unknown: string };

/** The quotas that a job of this kind needs, by their names. */
function namesOf({ instance, spot, fallbacks = [] }: Place) {
  const usage = (type: string) => `${type} for ${spot ? "spot " : ""}training job usage`;
  return {
    type: usage(instance),
    all: `Number of instances across all ${spot ? "spot " : ""}training jobs`,
    pool: `${instance} for training warm pool usage`,
    others: fallbacks.map(usage),
  };
}

export async function readQuotas(aws: Aws, place: Place): Promise<QuotaFacts> {
  const { type, all, pool, others } = namesOf(place);
  const names = [type, all, longest, ...others, ...(place.warmPool === true ? [pool] : [])];
  try {
    const [quotas, jobs] = await Promise.all([
      aws.quotas().then((service) => service.find("sagemaker", names)),
      runningJobs(aws),
    ]);
    return { quotas, jobs };
  } catch (error) {
    return { unknown: toMoxiError(error).message };
  }
}

/**
 * Whether the account may have one more machine of the type and of its fallbacks now, and for so
 * long; and whether the machine may be kept, without which the job runs too.
 */
export function checkQuota(facts: QuotaFacts, wanted: Wanted): readonly Check[] {
  const name = "quota";
  if ("unknown" in facts) {
    return [
      {
        name,
        result: "warning",
        message: `quotas could not be read: ${facts.unknown}`,
        hint: "allow servicequotas:ListServiceQuotas to find out",
      },
    ];
  }
  const { quotas, jobs } = facts;
  const { instance, spot, fallbacks = [], maxSeconds, region, warmPool = false } = wanted;
  const { type, all, pool, others } = namesOf(wanted);
  const count = (counted: readonly Running[]) => counted.reduce((sum, job) => sum + job.count, 0);
  const ofType = (one: string) =>
    jobs?.known.filter((job) => job.instance === one && job.spot === spot) ?? [];
  const same = ofType(instance);
  const every = jobs?.known.filter((job) => job.spot === spot) ?? [];
  const failures: Check[] = [];
  // SageMaker holds every type of the list against its quota, whichever it takes.
  for (const [quota, used] of [
    [quotas.get(type), count(same)],
    ...fallbacks.map((other, index) => [quotas.get(others[index]!), count(ofType(other))] as const),
    [quotas.get(all), count(every)],
  ] as const) {
    if (quota === undefined || quota.value >= used + 1) continue;
    const now = used === 0 ? "" : `, and ${used} ${used === 1 ? "runs" : "run"} now`;
    failures.push({
      name,
      code: "E_AWS_QUOTA",
      result: "failed",
      message: `the quota "${quota.name}" is ${quota.value} in ${region}${now}`,
      hint:
        quota.value > 0 && used > 0
          ? "wait until one ends, or ask AWS for more, which takes minutes to days:"
          : "ask AWS for more, which takes minutes to days; or choose another --instance:",
      command: increase(quota, used + 1, region),
    });
  }
  const limit = quotas.get(longest);
  if (limit !== undefined && maxSeconds > limit.value) {
    failures.push({
      name,
      code: "E_AWS_QUOTA",
      result: "failed",
      message: `the run may take ${formatDuration(maxSeconds)}, and the account allows a job ${formatDuration(limit.value)}`,
      hint: `--max-hours ${Math.floor(limit.value / 3600)}`,
    });
  }
  if (failures.length > 0) return failures;

  const warnings: Check[] = [];
  const warn = (message: string, more: Pick<Check, "hint" | "command"> = {}) =>
    warnings.push({ name, result: "warning", message, ...more });
  const untold = [type, ...others, all].filter((each) => !quotas.has(each));
  for (const each of untold) warn(`AWS tells no quota "${each}" in ${region}`);
  const kept = quotas.get(pool);
  if (warmPool && !((kept?.value ?? 0) >= 1)) {
    warn(`the quota "${pool}" is ${kept?.value ?? "not told"} in ${region}: no machine is kept`, {
      ...(kept && { hint: "ask AWS for more:", command: increase(kept, 1, region) }),
    });
  }
  const told = `${quotas.get(type)?.value ?? "?"} × ${instance}`;
  if (jobs === undefined) {
    warn(`${told}; how many run now could not be found out`, {
      hint: "allow sagemaker:ListTrainingJobs to find out",
    });
  } else if (jobs.hidden > 0) {
    const them = jobs.hidden === 1 ? "1 job runs" : `${jobs.hidden} jobs run`;
    warn(`${told}, ${count(same)} in use; and ${them} that you may not look at`, {
      hint: "allow sagemaker:DescribeTrainingJob to find out",
    });
  }
  if (warnings.length > 0) return warnings;
  return [{ name, result: "ok", message: `${told}, ${count(same)} in use` }];
}

function increase({ code }: Quota, desired: number, region: string): string {
  return `aws service-quotas request-service-quota-increase --service-code sagemaker --quota-code ${code} --desired-value ${desired} --region ${region}`;
}

type Running = Pick<TrainingJob, "instance" | "spot" | "count">;

interface Jobs {
  readonly known: readonly Running[];
  /** How many may not be looked at. */
  readonly hidden: number;
}

async function runningJobs(aws: Aws): Promise<Jobs | undefined> {
  const sagemaker = await aws.sagemaker();
  const unlessDenied = (error: unknown) => {
    if (toMoxiError(error).code === "E_AWS_DENIED") return undefined;
    throw error;
  };
  const names = await sagemaker.running().catch(unlessDenied);
  if (names === undefined) return undefined;
  const jobs = await Promise.all(
    names.map(async (name) => {
      // One that has ended meanwhile uses nothing.
      const ended: Running = { instance: "", spot: false, count: 0 };
      return sagemaker.describe(name).then((job): Running => job ?? ended, unlessDenied);
    }),
  );
  const known = jobs.filter((job) => job !== undefined);
  return { known, hidden: jobs.length - known.length };
}
