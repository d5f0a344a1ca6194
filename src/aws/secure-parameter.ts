import type { PutParameterCommandInput } from "@aws-sdk/client-ssm";

/** A value that only those may read whom the account allows it. */
export interface SecureParameter {
  /** "/moxi/hf-token/0123456789abcdef" */
  readonly name: string;
  readonly value: string;
  /** The KMS key that encrypts it; without one the account's own for parameters. */
  readonly key: string | null;
}

/** The request that stores it. */
export function secureParameter({ name, value, key }: SecureParameter): PutParameterCommandInput {
  return {
    Name: name,
    Value: value,
    Type: "SecureString",
    Tags: [{ Key: "moxi:managed", Value: "true" }],
    ...(key === null ? {} : { KeyId: key }),
  };
}
