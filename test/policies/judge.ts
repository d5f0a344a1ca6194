import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Policy } from "../cloud/account.ts";

/** One permission that a request needs. */
export interface Need {
  readonly action: string;
  readonly resource: string;
  readonly context: Readonly<Record<string, string | string[]>>;
}

export interface Judge {
  /** Whether a user or role that has one policy may do something. */
  allows(policy: Policy, need: Need): Promise<boolean>;
  stop(): Promise<void>;
}

const account = "123456789012";
/** A new key's own: the account decides, by its users' and roles' policies. */
const keyPolicy = {
  Version: "2012-10-17",
  Statement: [
    {
      Effect: "Allow",
      Principal: { AWS: `arn:aws:iam::${account}:root` },
      Action: "kms:*",
      Resource: "*",
    },
  ],
};

/** The engine that judges the test cloud's requests too: IAM's rules are none of ours to write. */
export function startJudge(): Judge {
  const script = join(import.meta.dirname, "../cloud/judge.ts");
  const process_ = spawn(process.execPath, [script], { stdio: ["pipe", "pipe", "inherit"] });
  const answers = createInterface({ input: process_.stdout })[Symbol.asyncIterator]();
  let last: Promise<unknown> = Promise.resolve();
  return {
    allows(policy, { action, resource, context }) {
      const question = {
        principal: `arn:aws:iam::${account}:user/traced`,
        action,
        resource,
        account,
        context: { "aws:PrincipalAccount": account, ...context },
        policies: [{ name: "shipped", policy }],
        ...(action.startsWith("kms:") && { resourcePolicy: keyPolicy }),
      };
      const answer = last.then(async () => {
        process_.stdin.write(`${JSON.stringify(question)}\n`);
        const { value } = await answers.next();
        const told = JSON.parse(value as string) as { allowed: boolean; why: unknown };
        if (typeof told.why !== "string") {
          throw new Error(`${action} on ${resource} cannot be judged: ${JSON.stringify(told.why)}`);
        }
        return told.allowed;
      });
      last = answer.catch(() => {});
      return answer;
    },
    async stop() {
      process_.stdin.end();
      await once(process_, "exit");
    },
  };
}
