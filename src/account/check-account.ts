import type { Aws } from "../aws/aws.ts";
import type { Check } from "../run/check.ts";
import type { Price } from "../run/cost.ts";
import { checkBucket } from "./checks/bucket.ts";
import { checkIdentity } from "./checks/identity.ts";
import { checkImage } from "./checks/image.ts";
import { checkPermissions } from "./checks/permissions.ts";
import { checkPrice } from "./checks/price.ts";
import { checkQuota } from "./checks/quota.ts";
import { checkRole } from "./checks/role.ts";
import { executionGrants, submitterGrants } from "./grants.ts";
import type { Wanted } from "./wanted.ts";

/**
 * Everything that can be known of an account before a byte is sent. Reads only. What is unknown is
 * a warning, never ok; what failed names the command that mends it.
 */
export async function checkAccount(
  aws: Aws,
  wanted: Wanted,
  price: Price | undefined,
): Promise<readonly Check[]> {
  const { check, identity } = await checkIdentity(aws);
  if (identity === undefined) return [check];
  const { account, arn } = identity;
  const role = await checkRole(aws, wanted, account);
  const others = await Promise.all([
    checkBucket(aws, wanted, account),
    checkPermissions(
      aws,
      { name: "your permissions", who: arn.split(":").at(-1)!, arn },
      submitterGrants(wanted, account),
    ),
    // A role that is not there can do nothing: one failure is enough.
    ...(role.result === "failed"
      ? []
      : [
          checkPermissions(
            aws,
            { name: "role permissions", who: "the role", arn: wanted.roleArn },
            executionGrants(wanted, account),
          ),
        ]),
    checkQuota(aws, wanted),
    checkImage(aws, wanted),
  ]);
  return [check, role, ...others, checkPrice(price, wanted)];
}
