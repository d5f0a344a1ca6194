import { GetRoleCommand, IAMClient, SimulatePrincipalPolicyCommand } from "@aws-sdk/client-iam";
import type { ClientParts } from "./aws.ts";

export interface Role {
  readonly arn: string;
  /** Who may assume it: a policy document. */
  readonly trust: unknown;
}

/** One question to the policy simulator. */
export interface Question {
  readonly actions: readonly string[];
  readonly resource: string;
  readonly context?: Readonly<Record<string, string>>;
}

export type Iam = Awaited<ReturnType<typeof openIam>>;

/** Roles, and what policies allow. */
export async function openIam(parts: ClientParts) {
  const client = new IAMClient(await parts.config("iam"));
  parts.onClose(() => client.destroy());
  return {
    /** Undefined where there is no such role. */
    role: (name: string): Promise<Role | undefined> =>
      parts.attempt(`look at the role ${name}`, async () => {
        try {
          const { Role } = await client.send(new GetRoleCommand({ RoleName: name }));
          const trust = decodeURIComponent(Role?.AssumeRolePolicyDocument ?? "{}");
          return { arn: Role?.Arn ?? "", trust: JSON.parse(trust) as unknown };
        } catch (error) {
          if (error instanceof Error && error.name.startsWith("NoSuchEntity")) return undefined;
          throw error;
        }
      }),

    /** The actions that a user's or role's policies do not allow. */
    denied: (arn: string, { actions, resource, context = {} }: Question): Promise<string[]> =>
      parts.attempt(`ask what ${arn} may do`, async () => {
        const entries = Object.entries(context).map(([key, value]) => ({
          ContextKeyName: key,
          ContextKeyType: "string" as const,
          ContextKeyValues: [value],
        }));
        const { EvaluationResults = [] } = await client.send(
          new SimulatePrincipalPolicyCommand({
            PolicySourceArn: arn,
            ActionNames: [...actions],
            ResourceArns: [resource],
            ...(entries.length === 0 ? {} : { ContextEntries: entries }),
          }),
        );
        return EvaluationResults.flatMap(({ EvalActionName, EvalDecision }) =>
          EvalDecision === "allowed" ? [] : [EvalActionName!],
        );
      }),
  };
}
