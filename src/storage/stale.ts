import type { Aws } from "../aws/aws.ts";
import type { Bucket } from "../aws/s3.ts";
import { formatCount } from "../base/format.ts";
import type { TransferOptions } from "./upload.ts";

/** Long enough for any upload that somebody still means to go on with. */
const staleMs = 7 * 24 * 3600 * 1000;

/**
 * Gives up the uploads below a prefix of ours that were broken off a week ago or longer: S3 keeps and
 * charges their parts for ever. It is housekeeping: what fails here fails silently.
 *
 * @returns how many were given up
 */
export async function giveUpStale(
  aws: Aws,
  prefix: string,
  { bucket, host, clock }: Pick<TransferOptions, "host" | "clock"> & { readonly bucket: Bucket },
): Promise<number> {
  const before = clock.now().getTime() - staleMs;
  let count = 0;
  try {
    const s3 = await aws.s3();
    for (const { key, id, begun } of await s3.unfinished(bucket, prefix)) {
      if (begun.getTime() > before) continue;
      await s3.abortUpload(bucket, key, id);
      count += 1;
    }
  } catch {
    // Not allowed, say.
  }
  if (count > 0) {
    const text = `uploads that were broken off over a week ago are removed from S3: ${formatCount(count)}`;
    host.notify({ type: "info", text });
  }
  return count;
}
