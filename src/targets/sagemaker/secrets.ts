import { scrypt } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { grantRemedy } from "../../account/commands.ts";
import { storingGrants } from "../../account/secret-grants.ts";
import type { Aws } from "../../aws/aws.ts";
import { secureParameter } from "../../aws/secure-parameter.ts";
import { isMoxiError, MoxiError, systemCode } from "../../base/errors.ts";
import { isRecord } from "../../base/json.ts";
import type { Job, SecretReference } from "../../run/job.ts";
import type { Plan } from "../../run/plan.ts";
import type { PlannedRequest, RunRef } from "../target.ts";
import { isHubModel } from "./base-model.ts";
import { bucketOf, cloudOf } from "./limits.ts";
import { parse } from "./records.ts";

/** Variables of the training program that nobody but the job may read: { HF_TOKEN: "hf_..." }. */
export type SecretVariables = Readonly<Record<string, string>>;

/** A standard parameter holds 4 KiB; what is shorter than 8 characters is no secret. */
const sizes = { least: 8, most: 4096 };

/** Whether the job itself asks the hub, and so needs the token: not for what its channels bring. */
export function asksHub({ recipe, cloud, trackers }: Plan): boolean {
  if (cloud?.networkIsolation === true) return false;
  const isBrought = !isHubModel(recipe.model) || cloud?.mirrorModel === true;
  return !isBrought || trackers.includes("trackio");
}

/**
 * What an attempt's job.json refers to. What it was given first stays, even if the token is another
 * by now. A run that goes on from a machine without the token keeps what the attempt before had.
 */
export async function secretsOf(
  aws: Aws,
  submission: RunRef,
  variables: SecretVariables,
): Promise<readonly SecretReference[]> {
  const { folder, attempt, plan } = submission;
  try {
    const sent = join(folder, `sent/job-a${attempt.attempt}-job.json`);
    return (JSON.parse(await readFile(sent, "utf8")) as Job).secrets;
  } catch (error) {
    if (systemCode(error) !== "ENOENT") throw error;
  }
  if (!asksHub(plan)) return [];
  const { region, kmsKey } = cloudOf(submission);
  const given = Object.entries(variables);
  if (given.length === 0 && attempt.attempt > 1) return earlierSecrets(aws, submission);
  return Promise.all(
    given.map(async ([name, value]) => {
      demandToken(name, value);
      return { name, parameter: await parameterName(name, value, kmsKey), region };
    }),
  );
}

/** As S3 has them; whoever may write there could name any parameter: only our own count. */
async function earlierSecrets(aws: Aws, ref: RunRef): Promise<readonly SecretReference[]> {
  const cloud = cloudOf(ref);
  const bucket = bucketOf(cloud);
  const key = `moxi/runs/${ref.run}/job-a${ref.attempt.attempt - 1}/job.json`;
  const text = await (await aws.s3()).read(bucket, key);
  const job = text === undefined ? undefined : parse(text, `s3://${bucket.name}/${key}`);
  const secrets: unknown = isRecord(job) ? job["secrets"] : undefined;
  if (!Array.isArray(secrets)) return [];
  return (secrets as unknown[]).filter(isRecord).flatMap(({ name, parameter }) => {
    const isOurs =
      name === "HF_TOKEN" && /^\/moxi\/hf-token\/[0-9a-f]{20}$/.test(String(parameter));
    return isOurs ? [{ name, parameter: String(parameter), region: cloud.region }] : [];
  });
}

/**
 * Stores each value as an encrypted parameter, unless it is there.
 *
 * A parameter's name comes from its value, so that an unchanged value is there already, a changed
 * one gets a parameter of its own, and two users with two tokens never meet. Nothing has to be read
 * to compare: whoever submits needs no right to read or decrypt.
 *
 * @throws E_AWS_DENIED with the command that mends it
 */
export async function sendSecrets(
  aws: Aws,
  ref: RunRef,
  references: readonly SecretReference[],
  variables: SecretVariables,
): Promise<void> {
  const { kmsKey } = cloudOf(ref);
  for (const { name, parameter } of references) {
    const value = variables[name];
    // Stored when the attempt was submitted first, and its name says by which value.
    if (value === undefined || (await parameterName(name, value, kmsKey)) !== parameter) continue;
    const ssm = await aws.ssm();
    try {
      await ssm.put({ name: parameter, value, key: kmsKey });
    } catch (error) {
      const isDenied = isMoxiError(error) && error.code === "E_AWS_DENIED";
      throw isDenied ? await withGrant(aws, error, kmsKey) : error;
    }
  }
}

/** The same requests without their values. */
export function rehearseSecrets(ref: RunRef, references: readonly SecretReference[]) {
  const { kmsKey } = cloudOf(ref);
  return references.map(({ parameter }): PlannedRequest => {
    const input = { ...secureParameter({ name: parameter, value: "", key: kmsKey }) };
    return { service: "ssm", operation: "PutParameter", input: { ...input, Value: "(hidden)" } };
  });
}

/**
 * Names are seen by everybody who may list parameters or read job.json. A slow hash keeps even a
 * password that can be guessed from being found by them.
 */
async function parameterName(name: string, value: string, kmsKey: string | null): Promise<string> {
  const hash = (await promisify(scrypt)(value, `moxi ${kmsKey ?? ""}`, 10)) as Buffer;
  return `/moxi/${name.toLowerCase().replaceAll("_", "-")}/${hash.toString("hex")}`;
}

function demandToken(name: string, value: string): void {
  const { least, most } = sizes;
  if (/^[!-~]+$/.test(value) && value.length >= least && value.length <= most) return;
  throw new MoxiError("E_CONFIG_INVALID", `${name} is no token`, {
    hint: `copy it again: a token has ${least} to ${most} characters, without blanks`,
    place: { field: name },
  });
}

async function withGrant(aws: Aws, error: MoxiError, kmsKey: string | null): Promise<MoxiError> {
  const { account, arn } = await (await aws.sts()).identity();
  const [, partition = "aws"] = arn.split(":");
  const { region } = aws.settings;
  const grants = storingGrants({ partition, region, account, kmsKey });
  const remedy = grantRemedy(arn, "moxi-tokens", grants);
  return new MoxiError(error.code, error.message, { ...remedy, cause: error });
}
