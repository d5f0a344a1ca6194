import { MoxiError } from "../base/errors.ts";
import type { Secrets } from "./config.ts";
import type { Environment, Variable } from "./environment.ts";
import type { AwsSettings, Source } from "./loaded.ts";

/** Settings of the outside world, under the names that users already have for them. The first name wins. */
const names = {
  "aws.region": ["AWS_REGION", "AWS_DEFAULT_REGION"],
  "aws.bucket": ["AWS_S3_BUCKET"],
  "aws.roleArn": ["AWS_ARN_ROLE"],
  "huggingFace.token": ["HF_TOKEN", "HUGGINGFACE_ACCESS_TOKEN"],
  "huggingFace.endpoint": ["HF_ENDPOINT"],
} as const;

type Name = keyof typeof names;

export interface Outside {
  readonly aws: AwsSettings;
  readonly secrets: Secrets;
  readonly hubUrl: string;
  readonly sources: Readonly<Record<Name, Source>>;
  readonly warnings: readonly string[];
}

/** Reads what only the environment and `.env` may say. */
export function readOutside(environment: Environment): Outside {
  const sources = {} as Record<Name, Source>;
  const warnings: string[] = [];
  const values: { -readonly [K in Name]?: string } = {};
  let endpoint: Variable | undefined;
  for (const [name, variables] of Object.entries(names) as [Name, readonly string[]][]) {
    const [used, ...others] = variables.flatMap((each) => environment.find(each) ?? []);
    sources[name] = used ? { source: used.source, where: used.where } : { source: "default" };
    if (used === undefined) continue;
    values[name] = used.value.trim();
    if (name === "huggingFace.endpoint") endpoint = used;
    for (const other of others) {
      if (other.value.trim() === values[name]) continue;
      warnings.push(`${used.name} and ${other.name} differ: ${used.name} is used`);
    }
  }
  const { "aws.region": region, "aws.bucket": bucket, "aws.roleArn": roleArn } = values;
  const token = values["huggingFace.token"];
  return {
    aws: { ...(region && { region }), ...(bucket && { bucket }), ...(roleArn && { roleArn }) },
    secrets: token ? { huggingFaceToken: token } : {},
    hubUrl: endpoint ? hubAddress(endpoint) : "https://huggingface.co",
    sources,
    warnings,
  };
}

function hubAddress({ name, value, where, place }: Variable): string {
  const url = URL.parse(value.trim());
  if (url !== null && /^https?:$/.test(url.protocol) && url.username === "" && url.search === "") {
    return url.href.replace(/\/+$/, "");
  }
  // The value is not shown: an address can hold a password.
  throw new MoxiError("E_CONFIG_INVALID", `${name} must be the http(s) address of a model hub`, {
    hint: `correct ${where}, for example to https://huggingface.co`,
    place: { ...place, field: name },
  });
}
