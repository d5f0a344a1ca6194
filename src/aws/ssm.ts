import { PutParameterCommand, SSMClient } from "@aws-sdk/client-ssm";
import type { ClientParts } from "./aws.ts";
import { secureParameter } from "./secure-parameter.ts";
import type { SecureParameter } from "./secure-parameter.ts";

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
