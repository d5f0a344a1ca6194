import type { Aws } from "../../aws/aws.ts";
import type { Iam } from "../../aws/iam.ts";
import { toMoxiError } from "../../base/errors.ts";
import type { Check } from "../../run/check.ts";
import { grantRemedy } from "../commands.ts";
import type { Grant } from "../grants.ts";

export interface Permissions {
  readonly check: Check;
  /** The actions that are not allowed; undefined where nobody knows. */
  readonly lacking: ReadonlySet<string> | undefined;
}

/**
 * Whether a user or role may do what a run needs, by AWS's own policy simulator and for the real
 * resources. The simulator sees no organisation's guardrails and no bucket policy: it can be wrong
 * in both directions, and says nothing of a role's session.
 */
export async function checkPermissions(
  aws: Aws,
  whose: {
    readonly name: string;
    readonly who: string;
    readonly arn: string;
    /** The role's name is known from its session. */
    readonly isSession: boolean;
  },
  grants: readonly Grant[],
): Promise<Permissions> {
  const { name, who } = whose;
  let { arn } = whose;
  if (arn.endsWith(":root")) {
    const check: Check = { name, result: "ok", message: `${who} may do everything` };
    return { check, lacking: new Set() };
  }
  try {
    const iam = await aws.iam();
    if (whose.isSession) arn = await withPath(iam, arn);
    const missing = await Promise.all(
      grants.map(async (grant) => ({ ...grant, actions: await iam.denied(arn, grant) })),
    );
    const lacking = missing.filter(({ actions }) => actions.length > 0);
    if (lacking.length === 0) {
      const check: Check = { name, result: "ok", message: `${who} may do what the run needs` };
      return { check, lacking: new Set() };
    }
    const what = lacking.map(({ actions, purpose }) => `${actions.join(", ")} (to ${purpose})`);
    return {
      lacking: new Set(lacking.flatMap(({ actions }) => actions)),
      check: {
        name,
        code: "E_AWS_DENIED",
        result: "failed",
        message: `${who} may not ${what.join("; ")}`,
        ...grantRemedy(arn, `moxi-${name.replaceAll(" ", "-")}`, lacking),
      },
    };
  } catch (error) {
    const { code, message } = toMoxiError(error);
    return {
      lacking: undefined,
      check: {
        name,
        result: "warning",
        message:
          code === "E_AWS_DENIED"
            ? `what ${who} may do could not be found out`
            : `what ${who} may do could not be found out: ${message}`,
        hint: `allow iam:SimulatePrincipalPolicy on ${arn} to find out`,
      },
    };
  }
}

/** A session tells its role's name without the path, by which policies know it. */
async function withPath(iam: Iam, arn: string): Promise<string> {
  const [, name] = /:role\/([^/]+)$/.exec(arn) ?? [];
  if (name === undefined) return arn;
  return (await iam.role(name).catch(() => undefined))?.arn ?? arn;
}
