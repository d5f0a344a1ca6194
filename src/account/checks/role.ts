import type { Aws } from "../../aws/aws.ts";
import { toMoxiError } from "../../base/errors.ts";
import { isRecord } from "../../base/json.ts";
import type { Check } from "../../run/check.ts";
import { grantCommand, quoted } from "../commands.ts";
import { executionGrants } from "../grants.ts";
import { roleName } from "../wanted.ts";
import type { Place } from "../wanted.ts";

const service = "sagemaker.amazonaws.com";

/** Whether the role is there and lets SageMaker assume it. */
export async function checkRole(aws: Aws, wanted: Place, account: string): Promise<Check> {
  const name = "role";
  const { roleArn } = wanted;
  const short = roleName(roleArn);
  const word = quoted(short);
  if (!roleArn.includes(`::${account}:role/`)) {
    return {
      name,
      code: "E_AWS_ROLE",
      result: "failed",
      message: `AWS_ARN_ROLE is ${roleArn}, which is no role of account ${account}`,
      hint: "use a role of the account that your credentials belong to",
    };
  }
  const ours = {
    Effect: "Allow",
    Principal: { Service: service },
    Action: "sts:AssumeRole",
    Condition: { StringEquals: { "aws:SourceAccount": account } },
  };
  const document = (statements: readonly unknown[]) =>
    quoted(JSON.stringify({ Version: "2012-10-17", Statement: statements }));
  try {
    const role = await (await aws.iam()).role(short);
    if (role === undefined) {
      const path = roleArn.slice(roleArn.indexOf(":role/") + 5, -short.length);
      const inPath = path === "/" ? "" : ` --path ${quoted(path)}`;
      const create = `aws iam create-role --role-name ${word}${inPath} --assume-role-policy-document ${document([ours])}`;
      // A role that may do nothing would fail the next check.
      const grant = grantCommand(roleArn, "moxi", executionGrants(wanted, account));
      return {
        name,
        code: "E_AWS_ROLE",
        result: "failed",
        message: `there is no role ${short}`,
        hint: "correct AWS_ARN_ROLE; or somebody who manages the account makes it:",
        command: `${create} && ${grant}`,
      };
    }
    if (role.arn !== roleArn) {
      return {
        name,
        code: "E_AWS_ROLE",
        result: "failed",
        message: `AWS_ARN_ROLE is ${roleArn}, and the role of that name is ${role.arn}`,
        hint: `write AWS_ARN_ROLE=${role.arn} into .env`,
      };
    }
    const trust = trustOf(role.trust, account);
    if (trust === "yes") {
      return { name, result: "ok", message: `${short}, which SageMaker may assume` };
    }
    if (trust === "perhaps") {
      return {
        name,
        result: "warning",
        message: `SageMaker may assume the role ${short} under conditions that only AWS can judge`,
        hint: `aws iam get-role --role-name ${word} shows them`,
      };
    }
    const kept = statementsOf(role.trust);
    return {
      name,
      code: "E_AWS_ROLE",
      result: "failed",
      message: `SageMaker may not assume the role ${short}`,
      hint: "somebody who manages the account types this:",
      command: `aws iam update-assume-role-policy --role-name ${word} --policy-document ${document([...kept, ours])}`,
    };
  } catch (error) {
    const { code, message } = toMoxiError(error);
    if (code !== "E_AWS_DENIED") return { name, code, result: "failed", message };
    const unknown = "whether the role exists and trusts SageMaker could not be found out";
    return {
      name,
      result: "warning",
      message: unknown,
      hint: "allow iam:GetRole on it to find out",
    };
  }
}

/** Of conditions one is judged: that the request is made for this account. */
function trustOf(document: unknown, account: string): "yes" | "no" | "perhaps" {
  const verdicts = statementsOf(document).map((statement) => {
    if (!isRecord(statement) || statement["Effect"] !== "Allow") return "no";
    const principal = statement["Principal"];
    const services = isRecord(principal) ? [principal["Service"]].flat() : [];
    const actions = [statement["Action"]].flat();
    const assumes = actions.some((action) => /^(?:sts:AssumeRole|sts:\*|\*)$/.test(String(action)));
    if (!services.includes(service) || !assumes) return "no";
    const conditions = isRecord(statement["Condition"]) ? statement["Condition"] : {};
    const tests = Object.entries(conditions).flatMap(([operator, keys]) =>
      Object.entries(isRecord(keys) ? keys : {}).map(([key, value]) => ({ operator, key, value })),
    );
    const known = tests.filter(
      ({ operator, key }) =>
        /^String(?:Equals|Like)$/.test(operator) && /^aws:SourceAccount$/i.test(key),
    );
    if (known.some(({ value }) => ![value].flat().includes(account))) return "no";
    return known.length === tests.length ? "yes" : "perhaps";
  });
  return (["yes", "perhaps"] as const).find((verdict) => verdicts.includes(verdict)) ?? "no";
}

function statementsOf(document: unknown): unknown[] {
  return isRecord(document) ? [document["Statement"]].flat() : [];
}
