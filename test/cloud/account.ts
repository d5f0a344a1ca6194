import { readFile } from "node:fs/promises";
import {
  CreateAccessKeyCommand,
  CreateRoleCommand,
  CreateUserCommand,
  IAMClient,
  PutRolePolicyCommand,
  PutUserPolicyCommand,
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
        const PolicyDocument = JSON.stringify(policy);
        const input = { UserName: name, PolicyName: "moxi", PolicyDocument };
        await iam.send(new PutUserPolicyCommand(input));
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
