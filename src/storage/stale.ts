import type { Aws } from "../aws/aws.ts";
import type { Bucket, S3, Unfinished } from "../aws/s3.ts";
import { formatCount } from "../base/format.ts";
import type { TransferOptions } from "./upload.ts";

/** Long enough for any upload that somebody still means to go on with. */
const staleMs = 7 * 24 * 3600 * 1000;

type Options = Pick<TransferOptions, "host" | "clock"> & { readonly bucket: Bucket };

/**
 * Gives up the uploads below a prefix of ours that were broken off a week ago or longer: S3 keeps and
 * charges their parts for ever. It is housekeeping: what fails here fails silently.
 *
 * @returns how many were given up
 */
export async function giveUpStale(aws: Aws, prefix: string, options: Options): Promise<number> {
  try {
    const s3 = await aws.s3();
    return await giveUpOld(s3, await s3.unfinished(options.bucket, prefix), options);
  } catch {
    // Not allowed, say.
    return 0;
  }
}

/** The same for uploads that are known; those that are younger stay. */
export async function giveUpOld(
  s3: S3,
  uploads: readonly Unfinished[],
  { bucket, host, clock }: Options,
): Promise<number> {
  const before = clock.now().getTime() - staleMs;
  let count = 0;
  for (const { key, id, begun } of uploads) {
    if (begun.getTime() > before) continue;
    try {
      await s3.abortUpload(bucket, key, id);
      count += 1;
    } catch {
      // Not allowed, or somebody else has.
    }
  }
  if (count > 0) {
    const text = `uploads that were broken off over a week ago are removed from S3: ${formatCount(count)}`;
    host.notify({ type: "info", text });
  }
  return count;
}
