import type { Aws } from "../../aws/aws.ts";
import { toMoxiError } from "../../base/errors.ts";
import { formatDuration } from "../../base/format.ts";
import type { Check } from "../../run/check.ts";
import type { Wanted } from "../wanted.ts";

const longest = "Longest run time for a training job";

/** Whether the account may have one more machine of the type now, and for so long. */
export async function checkQuota(aws: Aws, wanted: Wanted): Promise<Check> {
  const name = "quota";
  const { instance, fallbacks = [], spot, maxSeconds, region } = wanted;
  const kind = spot ? "spot training job usage" : "training job usage";
  const type = `${instance} for ${kind}`;
  const others = fallbacks.map((other) => [other, `${other} for ${kind}`] as const);
  const all = `Number of instances across all ${spot ? "spot " : ""}training jobs`;
  try {
    const [quotas, running] = await Promise.all([
      (await aws.quotas()).find("sagemaker", [
        type,
        ...others.map(([, quota]) => quota),
        all,
        longest,
      ]),
      runningJobs(aws),
    ]);
    const ofType = quotas.get(type);
    if (ofType === undefined) {
      const message = `AWS tells no quota "${type}" in ${region}: the type may not exist there`;
      return { name, result: "warning", message };
    }
    const inUse = (one?: string) =>
      running?.filter((job) => job.spot === spot && (one ?? job.instance) === job.instance).length;
    const [same, every] = [inUse(instance), inUse()];
    for (const [quota, used] of [
      [ofType, same],
      ...others.map(([other, name]) => [quotas.get(name), inUse(other)] as const),
      [quotas.get(all), every],
    ] as const) {
      if (quota === undefined || quota.value >= (used ?? 0) + 1) continue;
      const now = used === undefined || used === 0 ? "" : `, and ${used} run now`;
      const desired = (used ?? 0) + 1;
      return {
        name,
        code: "E_AWS_QUOTA",
        result: "failed",
        message: `the quota "${quota.name}" is ${quota.value}${now}`,
        hint:
          quota.value === 0 || used === 0 || used === undefined
            ? `aws service-quotas request-service-quota-increase --service-code sagemaker --quota-code ${quota.code} --desired-value ${desired} --region ${region}`
            : `wait until one ends, or: aws service-quotas request-service-quota-increase --service-code sagemaker --quota-code ${quota.code} --desired-value ${desired} --region ${region}`,
      };
    }
    const limit = quotas.get(longest);
    if (limit !== undefined && maxSeconds > limit.value) {
      return {
        name,
        code: "E_AWS_QUOTA",
        result: "failed",
        message: `the run may take ${formatDuration(maxSeconds)}, and the account allows ${formatDuration(limit.value)}`,
        hint: `--max-hours ${Math.floor(limit.value / 3600)}`,
      };
    }
    if (running === undefined) {
      return {
        name,
        result: "warning",
        message: `the quota "${type}" is ${ofType.value}; how many run now could not be found out`,
        hint: "allow sagemaker:ListTrainingJobs and sagemaker:DescribeTrainingJob to find out",
      };
    }
    return { name, result: "ok", message: `${ofType.value} × ${instance}, ${same} in use` };
  } catch (error) {
    const { message } = toMoxiError(error);
    return {
      name,
      result: "warning",
      message: `quotas could not be read: ${message}`,
      hint: "allow servicequotas:ListServiceQuotas to find out",
    };
  }
}

/** Undefined where they may not be seen: then how much of a quota is used is unknown. */
async function runningJobs(
  aws: Aws,
): Promise<readonly { readonly instance: string; readonly spot: boolean }[] | undefined> {
  const sagemaker = await aws.sagemaker();
  try {
    const names = await sagemaker.running();
    const jobs = await Promise.all(names.map((name) => sagemaker.describe(name)));
    return jobs.flatMap((job) =>
      job === undefined ? [] : [{ instance: job.instance, spot: job.spot }],
    );
  } catch (error) {
    if (toMoxiError(error).code === "E_AWS_DENIED") return undefined;
    throw error;
  }
}
