import type { Aws } from "../aws/aws.ts";
import type { Check } from "../run/check.ts";
import type { Price } from "../run/cost.ts";
import { checkBucket } from "./checks/bucket.ts";
import { checkIdentity } from "./checks/identity.ts";
import { checkImage } from "./checks/image.ts";
import { checkKey } from "./checks/key.ts";
import { checkPermissions } from "./checks/permissions.ts";
import { checkPrice } from "./checks/price.ts";
import { checkQuota, readQuotas } from "./checks/quota.ts";
import type { QuotaFacts } from "./checks/quota.ts";
import { checkRole } from "./checks/role.ts";
import { executionGrants, submitterGrants } from "./grants.ts";
import type { Place, Wanted } from "./wanted.ts";

/** What was found out of an account; what is left is up to the plan. */
export interface Look {
  readonly checks: readonly Check[];
  /** Undefined where nobody can be asked. */
  readonly quotas: QuotaFacts | undefined;
}

/**
 * Asks an account everything that a run needs to know of it and that its plan does not change. Reads
 * only. All that is independent is asked at once, whose account it is among it: the role's name tells
 * that already, and where the credentials are of another one, all is asked again for that.
 */
export async function lookAtAccount(aws: Aws, place: Place): Promise<Look> {
  const whose = checkIdentity(aws);
  const guess = place.roleArn.split(":")[4]!;
  const guessed = lookInto(aws, place, guess, whose);
  const { check, identity } = await whose;
  if (identity === undefined) return { checks: [check], quotas: undefined };
  const { account } = identity;
  const look = await (account === guess ? guessed : lookInto(aws, place, account, whose));
  return { ...look, checks: [check, ...look.checks] };
}

async function lookInto(
  aws: Aws,
  place: Place,
  account: string,
  whose: ReturnType<typeof checkIdentity>,
): Promise<Look> {
  const key = checkKey(place, account);
  const it = { name: "role permissions", who: "the role", arn: place.roleArn, isSession: false };
  const yourRights = whose.then(({ identity }) => {
    if (identity === undefined) return undefined;
    const { arn } = identity;
    const who = arn.split(":").at(-1)!;
    const you = { name: "your permissions", who, arn, isSession: arn.includes(":role/") };
    return checkPermissions(aws, you, submitterGrants(place, account));
  });
  const mayList = yourRights.then(
    (rights) => rights?.lacking && !rights.lacking.has("s3:ListBucket"),
  );
  const [role, bucket, yours, theirs, quotas, image] = await Promise.all([
    checkRole(aws, place, account),
    checkBucket(aws, place, account, mayList),
    yourRights,
    checkPermissions(aws, it, executionGrants(place, account)),
    readQuotas(aws, place),
    checkImage(aws, place),
  ]);
  // Of a role that is not there nobody knows what it may: one failure is enough.
  const rights = role.result === "failed" && theirs.lacking === undefined ? [] : [theirs.check];
  const checks = [role, bucket, yours?.check, ...rights, key, image];
  return { checks: checks.filter((check) => check !== undefined), quotas };
}

/**
 * Everything that can be known of an account before a byte is sent. What is unknown is a warning,
 * never ok; what failed names the command that mends it.
 */
export function judgeAccount(
  { checks, quotas }: Look,
  wanted: Wanted,
  price: Price | undefined,
): readonly Check[] {
  if (quotas === undefined) return checks;
  return [...checks, ...checkQuota(quotas, wanted), checkPrice(price, wanted)];
}
