import type { Aws } from "../../aws/aws.ts";
import { toMoxiError } from "../../base/errors.ts";
import { isRecord } from "../../base/json.ts";
import type { Check } from "../../run/check.ts";
import { quoted } from "../commands.ts";
import { roleName } from "../wanted.ts";
import type { Wanted } from "../wanted.ts";

const service = "sagemaker.amazonaws.com";

/** Whether the role is there and lets SageMaker assume it. */
export async function checkRole(aws: Aws, wanted: Wanted, account: string): Promise<Check> {
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
    if (role === undefined || role.arn !== roleArn) {
      return {
        name,
        code: "E_AWS_ROLE",
        result: "failed",
        message: `there is no role ${short}`,
        hint: `aws iam create-role --role-name ${word} --assume-role-policy-document ${document([ours])}`,
      };
    }
    if (trusts(role.trust))
      return { name, result: "ok", message: `${short}, which SageMaker may assume` };
    const kept = statementsOf(role.trust);
    return {
      name,
      code: "E_AWS_ROLE",
      result: "failed",
      message: `SageMaker may not assume the role ${short}`,
      hint: `aws iam update-assume-role-policy --role-name ${word} --policy-document ${document([...kept, ours])}`,
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

/** Conditions are not judged: AWS alone knows what it will say of itself. */
function trusts(document: unknown): boolean {
  return statementsOf(document).some((statement) => {
    if (!isRecord(statement) || statement["Effect"] !== "Allow") return false;
    const principal = statement["Principal"];
    const services = isRecord(principal) ? [principal["Service"]].flat() : [];
    const actions = [statement["Action"]].flat();
    return (
      services.includes(service) &&
      actions.some((action) => action === "sts:AssumeRole" || action === "sts:*" || action === "*")
    );
  });
}

function statementsOf(document: unknown): unknown[] {
  return isRecord(document) ? [document["Statement"]].flat() : [];
}
