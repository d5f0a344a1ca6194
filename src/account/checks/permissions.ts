import type { Aws } from "../../aws/aws.ts";
import { toMoxiError } from "../../base/errors.ts";
import type { Check } from "../../run/check.ts";
import { grantCommand } from "../commands.ts";
import type { Grant } from "../grants.ts";

/**
 * Whether a user or role may do what a run needs, by AWS's own policy simulator and for the real
 * resources. The simulator sees no organisation's guardrails and no bucket policy: it can be wrong
 * in both directions, and says nothing of a role's session.
 */
export async function checkPermissions(
  aws: Aws,
  whose: { readonly name: string; readonly who: string; readonly arn: string },
  grants: readonly Grant[],
): Promise<Check> {
  const { name, who, arn } = whose;
  if (arn.endsWith(":root")) return { name, result: "ok", message: `${who} may do everything` };
  try {
    const iam = await aws.iam();
    const missing = await Promise.all(
      grants.map(async (grant) => ({ ...grant, actions: await iam.denied(arn, grant) })),
    );
    const lacking = missing.filter(({ actions }) => actions.length > 0);
    if (lacking.length === 0) {
      return { name, result: "ok", message: `${who} may do what the run needs` };
    }
    const what = lacking.map(({ actions, purpose }) => `${actions.join(", ")} (to ${purpose})`);
    return {
      name,
      code: "E_AWS_DENIED",
      result: "failed",
      message: `${who} may not ${what.join("; ")}`,
      hint: grantCommand(arn, `moxi-${name.replaceAll(" ", "-")}`, lacking),
    };
  } catch (error) {
    const { code, message } = toMoxiError(error);
    return {
      name,
      result: "warning",
      message:
        code === "E_AWS_DENIED"
          ? `what ${who} may do could not be found out`
          : `what ${who} may do could not be found out: ${message}`,
      hint: `allow iam:SimulatePrincipalPolicy on ${arn} to find out`,
    };
  }
}
