import { readFile } from "node:fs/promises";
import {
  AttachUserPolicyCommand,
  CreateAccessKeyCommand,
  CreatePolicyCommand,
  CreateRoleCommand,
  CreateUserCommand,
  IAMClient,
  PutRolePolicyCommand,
} from "@aws-sdk/client-iam";
import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3";
import type { Cloud } from "./start.ts";

/** A policy document, as AWS takes it. */
export interface Policy {
  readonly Version: string;
  readonly Statement: readonly Readonly<Record<string, unknown>>[];
}

/** An account in the cloud, set up step by step as a user would. */
export interface Account {
  /** The policies that are shipped, with this account's names. */
  policy(name: string, roleArn?: string): Promise<Policy>;
  bucket(name: string): Promise<void>;
  /** Returns the role's ARN. */
  role(name: string, trust: Policy, policy?: Policy): Promise<string>;
  /** Returns the environment of somebody who has the user's keys. */
  user(name: string, policy?: Policy): Promise<Readonly<Record<string, string>>>;
  close(): void;
}

/** What a set-up account gives: the environment of whoever trains in it, but for the image. */
export interface SetUp {
  readonly account: Account;
  readonly env: Readonly<Record<string, string>>;
  readonly roleArn: string;
  readonly bucket: string;
}

/** An account as the guide says: a bucket, the execution role, a user with the shipped policy, quotas. */
export async function setUpAccount(cloud: Cloud, bucket = "team-data"): Promise<SetUp> {
  const account = openAccount(cloud, bucket);
  await account.bucket(bucket);
  const trust = await account.policy("sagemaker-execution-trust");
  const rolePolicy = rehearsed(await account.policy("sagemaker-execution"));
  const roleArn = await account.role("moxi-execution", trust, rolePolicy);
  const userPolicy = rehearsed(await account.policy("submitter-sagemaker", roleArn));
  const keys = await account.user("submitter", userPolicy);
  for (const kind of ["", "spot "]) {
    for (const name of [
      `ml.g5.2xlarge for ${kind}training job usage`,
      `Number of instances across all ${kind}training jobs`,
    ]) {
      await cloud.order("quota", { name, value: 20 });
    }
  }
  const env = { ...keys, AWS_S3_BUCKET: bucket, AWS_ARN_ROLE: roleArn };
  return { account, env, roleArn, bucket };
}

/** The cloud's image lies in a repository of another name than AWS's. */
export function rehearsed(policy: Policy): Policy {
  const text = JSON.stringify(policy);
  return JSON.parse(text.replaceAll("huggingface-pytorch-training", "rehearsal")) as Policy;
}

export function openAccount({ env, account }: Cloud, bucketName: string): Account {
  const config = {
    endpoint: env["AWS_ENDPOINT_URL"]!,
    region: env["AWS_REGION"]!,
    credentials: {
      accessKeyId: env["AWS_ACCESS_KEY_ID"]!,
      secretAccessKey: env["AWS_SECRET_ACCESS_KEY"]!,
    },
  };
  const s3 = new S3Client({ ...config, forcePathStyle: true });
  const iam = new IAMClient(config);
  return {
    async policy(name, roleArn = "") {
      const file = new URL(`../../infra/policies/${name}.json`, import.meta.url);
      const text = (await readFile(file, "utf8"))
        .replaceAll("BUCKET", bucketName)
        .replaceAll("REGION", config.region)
        .replaceAll("EXECUTION_ROLE_ARN", roleArn)
        .replaceAll("SUBMITTER_ARN", `arn:aws:iam::${account}:user/*`)
        .replaceAll("DLC_ACCOUNT", "763104351884")
        .replaceAll("ACCOUNT", account);
      return JSON.parse(text) as Policy;
    },
    async bucket(name) {
      await s3.send(new CreateBucketCommand({ Bucket: name }));
    },
    async role(name, trust, policy) {
      const document = JSON.stringify(trust);
      const made = await iam.send(
        new CreateRoleCommand({ RoleName: name, AssumeRolePolicyDocument: document }),
      );
      if (policy !== undefined) {
        const PolicyDocument = JSON.stringify(policy);
        const input = { RoleName: name, PolicyName: "moxi", PolicyDocument };
        await iam.send(new PutRolePolicyCommand(input));
      }
      return made.Role!.Arn!;
    },
    async user(name, policy) {
      await iam.send(new CreateUserCommand({ UserName: name }));
      if (policy !== undefined) {
        // A policy of the user's own may have 2,048 characters, and the shipped one has more.
        const PolicyDocument = JSON.stringify(policy);
        const input = { PolicyName: `moxi-${name}`, PolicyDocument };
        const { Policy: made } = await iam.send(new CreatePolicyCommand(input));
        await iam.send(new AttachUserPolicyCommand({ UserName: name, PolicyArn: made!.Arn! }));
      }
      const { AccessKey } = await iam.send(new CreateAccessKeyCommand({ UserName: name }));
      return {
        AWS_ENDPOINT_URL: config.endpoint,
        AWS_REGION: config.region,
        AWS_ACCESS_KEY_ID: AccessKey!.AccessKeyId!,
        AWS_SECRET_ACCESS_KEY: AccessKey!.SecretAccessKey!,
      };
    },
    close() {
      s3.destroy();
      iam.destroy();
    },
  };
}
