// Judges requests by IAM policies: one JSON question a line on stdin, one answer a line on stdout.
import { createInterface } from "node:readline";
import { runSimulation } from "@cloud-copilot/iam-simulate";

interface Question {
  principal: string;
  action: string;
  resource: string;
  account: string;
  context: Record<string, string | string[]>;
  policies: { name: string; policy: unknown }[];
  /** A bucket's or key's policy, or a role's trust policy. */
  resourcePolicy?: unknown;
}

const allowAll = {
  Version: "2012-10-17",
  Statement: [{ Effect: "Allow", Action: "*", Resource: "*" }],
};
const organisation = [{ orgIdentifier: "root", policies: [{ name: "all", policy: allowAll }] }];

// The library knows keys of an encryption context by their pattern alone; a request has one of them.
const pattern = /"kms:EncryptionContext:\w+"/g;
const patterned = (line: string) =>
  line.replaceAll(pattern, () => '"kms:EncryptionContext:${EncryptionContextKey}"');

for await (const line of createInterface({ input: process.stdin })) {
  const question = JSON.parse(patterned(line)) as Question;
  process.stdout.write(`${JSON.stringify(await judge(question))}\n`);
}

async function judge(question: Question): Promise<{ allowed: boolean; why: unknown }> {
  const result = await runSimulation(
    {
      request: {
        principal: question.principal,
        action: question.action,
        resource: { resource: question.resource, accountId: question.account },
        contextVariables: question.context,
      },
      identityPolicies: question.policies,
      serviceControlPolicies: organisation,
      resourceControlPolicies: [],
      ...(question.resourcePolicy === undefined ? {} : { resourcePolicy: question.resourcePolicy }),
    },
    {},
  );
  if (result.resultType === "error") return { allowed: false, why: result.errors };
  return { allowed: result.overallResult === "Allowed", why: result.overallResult };
}
