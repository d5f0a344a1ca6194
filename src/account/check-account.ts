import type { Aws } from "../aws/aws.ts";
import type { Check } from "../run/check.ts";
import type { Price } from "../run/cost.ts";
import { checkBucket } from "./checks/bucket.ts";
import { checkIdentity } from "./checks/identity.ts";
import { checkImage } from "./checks/image.ts";
import { checkKey } from "./checks/key.ts";
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
  const key = checkKey(wanted, account);
  const you = { name: "your permissions", who: arn.split(":").at(-1)!, arn };
  const yourRights = checkPermissions(aws, you, submitterGrants(wanted, account));
  const mayList = yourRights.then(({ lacking }) => lacking && !lacking.has("s3:ListBucket"));
  const [role, bucket, yours, theirs, quota, image] = await Promise.all([
    checkRole(aws, wanted, account),
    checkBucket(aws, wanted, account, mayList),
    yourRights,
    checkPermissions(
      aws,
      { name: "role permissions", who: "the role", arn: wanted.roleArn },
      executionGrants(wanted, account),
    ),
    checkQuota(aws, wanted),
    checkImage(aws, wanted),
  ]);
  return [
    check,
    role,
    bucket,
    yours.check,
    // Of a role that is not there nobody knows what it may: one failure is enough.
    ...(role.result === "failed" && theirs.lacking === undefined ? [] : [theirs.check]),
    ...(key === undefined ? [] : [key]),
    ...quota,
    image,
    checkPrice(price, wanted),
  ];
}
