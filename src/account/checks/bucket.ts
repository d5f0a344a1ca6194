import type { Aws } from "../../aws/aws.ts";
import { toMoxiError } from "../../base/errors.ts";
import type { Check } from "../../run/check.ts";
import type { Wanted } from "../wanted.ts";

/** Whether the bucket is there, in this region, and this account's. */
export async function checkBucket(aws: Aws, wanted: Wanted, account: string): Promise<Check> {
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
        hint: `aws s3 mb s3://${bucket} --region ${region}`,
      };
    }
    if (code === "E_AWS_DENIED") {
      return {
        name,
        code,
        result: "failed",
        message: `s3://${bucket} belongs to another account, or you may not list it`,
        hint: "choose another AWS_S3_BUCKET, or let its owner allow s3:ListBucket",
      };
    }
    return { name, code, result: "failed", message, ...(hint !== undefined && { hint }) };
  }
}
