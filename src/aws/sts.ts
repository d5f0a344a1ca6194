import { GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";
import type { ClientParts } from "./aws.ts";

export interface Identity {
  readonly account: string;
  /** Of the user, the account's root, or the role behind a session: what policies hang on. */
  readonly arn: string;
}

export type Sts = Awaited<ReturnType<typeof openSts>>;

/** Who the credentials belong to. */
export async function openSts(parts: ClientParts) {
  const client = new STSClient(await parts.config("sts"));
  parts.onClose(() => client.destroy());
  return {
    /** Nobody can be denied this question: what fails is the credentials. */
    identity: (): Promise<Identity> =>
      parts.attempt("ask AWS who you are", async () => {
        const { Account = "", Arn = "" } = await client.send(new GetCallerIdentityCommand({}));
        return { account: Account, arn: policyHolder(Arn) };
      }),
  };
}

/** "arn:aws:sts::1:assumed-role/Name/session" is the role arn:aws:iam::1:role/Name; its path is not told. */
function policyHolder(arn: string): string {
  const session = /^arn:([\w-]+):sts::(\d+):assumed-role\/([^/]+)\//.exec(arn);
  return session === null ? arn : `arn:${session[1]}:iam::${session[2]}:role/${session[3]}`;
}
