import type { Check } from "../../run/check.ts";
import { keyArn } from "../grants.ts";
import type { Place } from "../wanted.ts";

/**
 * Whether the KMS key can be meant: its region, and a name by which policies know it. Who may use it
 * is asked with the other permissions; what its own policy says nobody tells who may not manage it.
 */
export function checkKey(wanted: Place, account: string): Check | undefined {
  const { kmsKey, region } = wanted;
  if (kmsKey === undefined || kmsKey === null) return undefined;
  const name = "key";
  const arn = keyArn(wanted, account);
  if (arn === undefined) {
    return {
      name,
      result: "warning",
      message: `who may use ${kmsKey} could not be found out: policies know keys by their ARN, not by an alias`,
      hint: "give sagemaker.kmsKey as the key's ARN to find out",
    };
  }
  const [, , , keyRegion] = arn.split(":");
  if (keyRegion !== region) {
    return {
      name,
      code: "E_CONFIG_INVALID",
      result: "failed",
      message: `the KMS key is in ${keyRegion}, and the job runs in ${region}`,
      hint: `give sagemaker.kmsKey as a key in ${region}, or set AWS_REGION=${keyRegion}`,
    };
  }
  return undefined;
}
