import type { Aws } from "../../aws/aws.ts";
import type { Identity } from "../../aws/sts.ts";
import { toMoxiError } from "../../base/errors.ts";
import type { Check } from "../../run/check.ts";

/** Whether the credentials are somebody's, and whose. Without that nothing else can be asked. */
export async function checkIdentity(
  aws: Aws,
): Promise<{ readonly check: Check; readonly identity: Identity | undefined }> {
  const name = "credentials";
  try {
    const identity = await (await aws.sts()).identity();
    if (identity.arn.endsWith(":root")) {
      const message = "these are the keys of the account's root, which may do everything";
      const hint = "make a user or role for training; docs/training-on-aws.md shows its policy";
      return { identity, check: { name, result: "warning", message, hint } };
    }
    return { identity, check: { name, result: "ok", message: identity.arn } };
  } catch (error) {
    const { code, message, hint } = toMoxiError(error);
    return {
      identity: undefined,
      check: { name, result: "failed", code, message, ...(hint !== undefined && { hint }) },
    };
  }
}
