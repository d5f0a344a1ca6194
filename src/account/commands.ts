import { sha256 } from "../base/hash.ts";
import type { Check } from "../run/check.ts";
import type { Grant } from "./grants.ts";

/** How what is missing is granted to a user or role, and nothing more. */
export function grantRemedy(
  holder: string,
  name: string,
  grants: readonly Grant[],
): Pick<Check, "hint" | "command"> {
  if (holder.includes(":role/aws-reserved/sso.amazonaws.com/")) {
    const hint =
      "somebody who manages IAM Identity Center adds it to your permission set; docs/training-on-aws.md has the whole policy";
    return { hint };
  }
  const hint = "somebody who manages the account types this:";
  return { hint, command: grantCommand(holder, name, grants) };
}

/** An aws-cli command that grants what is missing to a user or role, and nothing more. */
export function grantCommand(holder: string, name: string, grants: readonly Grant[]): string {
  const document = {
    Version: "2012-10-17",
    Statement: grants.map(({ actions, resource, context }) => ({
      Effect: "Allow",
      Action: actions,
      Resource: widened(resource),
      ...(context === undefined ? {} : { Condition: condition(context) }),
    })),
  };
  const [, kind, owner] = /:(user|role)\/(?:.*\/)?([^/]+)$/.exec(holder) ?? [];
  const text = JSON.stringify(document);
  // A policy of the same name would be replaced, and what was granted before taken away.
  const unique = `${name}-${sha256(text).slice(0, 8)}`;
  const policy = `--policy-name ${unique} --policy-document ${quoted(text)}`;
  return `aws iam put-${kind}-policy --${kind}-name ${quoted(owner ?? "")} ${policy}`;
}

function condition(context: NonNullable<Grant["context"]>) {
  const values = Object.entries(context).map(([key, value]) => [key, widened(value)] as const);
  const isPattern = values.some(([, value]) => value.includes("*"));
  return { [isPattern ? "StringLike" : "StringEquals"]: Object.fromEntries(values) };
}

/** The same for every job and object of Moxi's, not for one run alone. */
function widened(resource: string): string {
  return resource
    .replace(/:training-job\/.*$/, ":training-job/moxi-*")
    .replace(/\/moxi\/(code|runs)\/.*$/, "/moxi/*")
    .replace(/\/moxi\/(checkpoints|models)\/.*$/, "/moxi/$1/*")
    .replace(/^moxi\/code\/$/, "moxi/*") // a prefix that is listed: a job lists them all
    .replace(/:parameter\/moxi\/.*$/, ":parameter/moxi/*")
    .replace(/:log-stream:.*$/, ":*");
}

/** A word as a POSIX shell takes it. */
export function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
