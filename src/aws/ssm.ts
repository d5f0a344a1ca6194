import { PutParameterCommand, SSMClient } from "@aws-sdk/client-ssm";
import type { PutParameterCommandInput } from "@aws-sdk/client-ssm";
import type { ClientParts } from "./aws.ts";

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

export type Ssm = Awaited<ReturnType<typeof openSsm>>;

/** Parameters of Systems Manager. */
export async function openSsm(parts: ClientParts) {
  const client = new SSMClient(await parts.config("ssm"));
  parts.onClose(() => client.destroy());
  return {
    /** Stores a value, encrypted; "exists" where the name is taken, whose value stays as it is. */
    put: (parameter: SecureParameter): Promise<"stored" | "exists"> =>
      parts.attempt(`store the parameter ${parameter.name}`, async () => {
        try {
          await client.send(new PutParameterCommand(secureParameter(parameter)));
          return "stored";
        } catch (error) {
          if (error instanceof Error && error.name === "ParameterAlreadyExists") return "exists";
          throw error;
        }
      }),
  };
}
