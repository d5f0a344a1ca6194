import type { Aws } from "../../aws/aws.ts";
import type { Kept, RunRef } from "../target.ts";
import { bucketOf, cloudOf } from "./limits.ts";

/**
 * What the newest attempt that was submitted got, where S3 still has it. The folders are named by
 * their content, or by a commit: what is there is what it was.
 */
export async function keptInputs(aws: Aws, refs: readonly RunRef[]): Promise<Kept | null> {
  const sagemaker = await aws.sagemaker();
  for (const ref of refs.toReversed()) {
    const job = await sagemaker.describe(ref.attempt.name);
    if (job?.environment["MOXI_PLAN_HASH"] !== ref.plan.planHash) continue;
    const bucket = bucketOf(cloudOf(ref));
    const ours = `s3://${bucket.name}/`;
    const found = Object.entries(job.channels)
      .filter(([name, address]) => name !== "job" && address.startsWith(ours))
      .map(([name, address]) => ({ name, place: address.slice(ours.length) }));
    const s3 = await aws.s3();
    const sizes = await Promise.all(
      found.map(async ({ place }) => (await s3.list(bucket, place)).length),
    );
    return found.length > 0 && sizes.every((size) => size > 0) ? found : null;
  }
  return null;
}
