import type { Grant } from "./grants.ts";

/** Where tokens lie that a job reads: parameters below /moxi/ of one account and region. */
export interface SecretStore {
  readonly partition: string;
  readonly region: string;
  readonly account: string;
  /** The KMS key that encrypts them; `null`: the account's own for parameters, which needs no grant. */
  readonly kmsKey: string | null;
}

/** What whoever submits a job must be allowed to hand it a token. */
export function storingGrants(store: SecretStore): Grant[] {
  const resource = parameterArn(store);
  const actions = ["ssm:PutParameter", "ssm:AddTagsToResource"];
  return [
    { purpose: "store the token that the job reads", actions, resource },
    ...keyGrants(store, "encrypt the token", "kms:Encrypt"),
  ];
}

/** What the role that a job runs as must be allowed to read its token. */
export function readingGrants(store: SecretStore): Grant[] {
  const resource = parameterArn(store);
  return [
    { purpose: "read the token", actions: ["ssm:GetParameter"], resource },
    ...keyGrants(store, "decrypt the token", "kms:Decrypt"),
  ];
}

function parameterArn({ partition, region, account }: SecretStore): string {
  return `arn:${partition}:ssm:${region}:${account}:parameter/moxi/hf-token/0`;
}

/** An alias is none of the names that policies know keys by: what is allowed for it stays unknown. */
function keyGrants(store: SecretStore, purpose: string, action: string): Grant[] {
  const { partition, region, account, kmsKey } = store;
  if (kmsKey === null || kmsKey.includes("alias/")) return [];
  const isArn = kmsKey.startsWith("arn:");
  const resource = isArn ? kmsKey : `arn:${partition}:kms:${region}:${account}:key/${kmsKey}`;
  const context = {
    "kms:ViaService": `ssm.${region}.amazonaws.com`,
    "kms:EncryptionContext:PARAMETER_ARN": parameterArn(store),
  };
  return [{ purpose, actions: [action], resource, context }];
}
