import type { Aws } from "../../aws/aws.ts";
import { toMoxiError } from "../../base/errors.ts";
import type { Check } from "../../run/check.ts";
import type { Place } from "../wanted.ts";

/**
 * Whether the bucket is there, in this region, and this account's.
 *
 * @param mayList what is known of the user's right to list it: it tells a stranger's bucket from
 *   one's own that one may not look at
 */
export async function checkBucket(
  aws: Aws,
  wanted: Place,
  account: string,
  mayList: Promise<boolean | undefined>,
): Promise<Check> {
  const { bucket, region } = wanted;
  const name = "bucket";
  try {
    // A listing names what is wrong; HEAD answers without a body.
    const s3 = await aws.s3();
    await s3.list({ name: bucket, owner: account }, "moxi/runs/-/");
    return { name, result: "ok", message: `s3://${bucket} in ${region}` };
  } catch (error) {
    const { code, message, hint } = toMoxiError(error);
    if (code === "E_S3_BUCKET") {
      return {
        name,
        code,
        result: "failed",
        message: `there is no bucket ${bucket}`,
        hint: "correct AWS_S3_BUCKET, or make it:",
        command: `aws s3 mb s3://${bucket} --region ${region}`,
      };
    }
    if (code === "E_AWS_DENIED") {
      const may = await mayList;
      if (may === false) {
        const unknown = `whether s3://${bucket} is there and yours could not be found out: you may not list it`;
        return { name, result: "warning", message: unknown };
      }
      const own = `choose a bucket of account ${account} in AWS_S3_BUCKET`;
      return {
        name,
        code,
        result: "failed",
        ...(may === true
          ? { message: `s3://${bucket} belongs to another account`, hint: own }
          : {
              message: `s3://${bucket} belongs to another account, or you may not list it`,
              hint: `${own}, or let somebody who manages the account allow s3:ListBucket on it`,
            }),
      };
    }
    return { name, code, result: "failed", message, ...(hint !== undefined && { hint }) };
  }
}
