import type { Question } from "../aws/iam.ts";
import { readingGrants, storingGrants } from "./secret-grants.ts";
import type { SecretStore } from "./secret-grants.ts";
import { imageParts } from "./wanted.ts";
import type { Place } from "./wanted.ts";

/** Actions that somebody must be allowed on a resource, and what for. */
export interface Grant extends Question {
  /** After "to": "write the run to the bucket". */
  readonly purpose: string;
}

/** The key as policies know it; undefined for an alias, which they do not. */
export function keyArn(
  { kmsKey, region, roleArn }: Pick<Place, "kmsKey" | "region" | "roleArn">,
  account: string,
): string | undefined {
  if (kmsKey === undefined || kmsKey === null) return undefined;
  if (/^arn:[^:]+:kms:[^:]+:\d{12}:key\//.test(kmsKey)) return kmsKey;
  const partition = roleArn.split(":")[1] ?? "aws";
  if (!/^(?:mrk-)?[0-9a-f-]{32,36}$/i.test(kmsKey)) return undefined;
  return `arn:${partition}:kms:${region}:${account}:key/${kmsKey}`;
}

const logGroup = "/aws/sagemaker/TrainingJobs";

/** What whoever submits a job must be allowed, besides reading prices and quotas. */
export function submitterGrants(wanted: Place, account: string): Grant[] {
  const { region, bucket, roleArn, job } = wanted;
  const partition = roleArn.split(":")[1] ?? "aws";
  const jobArn = `arn:${partition}:sagemaker:${region}:${account}:training-job/${job}`;
  // A role of another account can be handed over by nobody, which its own check says.
  const isOwn = roleArn.includes(`::${account}:role/`);
  const handOver: Grant = {
    purpose: "hand the role to SageMaker",
    actions: ["iam:PassRole"],
    resource: roleArn,
    context: { "iam:PassedToService": "sagemaker.amazonaws.com" },
  };
  return [
    {
      purpose: "submit, follow and stop training jobs",
      actions: ["CreateTrainingJob", "DescribeTrainingJob", "StopTrainingJob", "AddTags"].map(
        (name) => `sagemaker:${name}`,
      ),
      resource: jobArn,
    },
    ...(isOwn ? [handOver] : []),
    {
      purpose: "see what is in the bucket",
      actions: ["s3:ListBucket", "s3:ListBucketMultipartUploads"],
      resource: `arn:${partition}:s3:::${bucket}`,
    },
    {
      purpose: "send data to the bucket and fetch models from it",
      actions: ["GetObject", "PutObject", "AbortMultipartUpload", "ListMultipartUploadParts"].map(
        (name) => `s3:${name}`,
      ),
      resource: `arn:${partition}:s3:::${bucket}/moxi/runs/${job}`,
    },
    {
      purpose: "follow the log",
      actions: ["logs:GetLogEvents"],
      resource: `arn:${partition}:logs:${region}:${account}:log-group:${logGroup}:log-stream:${job}`,
    },
    {
      purpose: "find the log",
      actions: ["logs:DescribeLogStreams"],
      resource: `arn:${partition}:logs:${region}:${account}:log-group:${logGroup}`,
    },
    ...(wanted.secrets === undefined ? [] : storingGrants(storeOf(wanted, account))),
    ...keyGrants(wanted, account, [
      ["encrypt what is sent", "kms:GenerateDataKey"],
      ["read what the job has encrypted", "kms:Decrypt"],
    ]),
  ];
}

/** What the role that a job runs as must be allowed. */
export function executionGrants(wanted: Place, account: string): Grant[] {
  const { region, bucket, roleArn, job, image } = wanted;
  const partition = roleArn.split(":")[1] ?? "aws";
  const stream = `arn:${partition}:logs:${region}:${account}:log-group:${logGroup}:log-stream:${job}`;
  const parts = imageParts(image);
  const grants: Grant[] = [
    {
      purpose: "find its inputs in the bucket",
      actions: ["s3:ListBucket"],
      resource: `arn:${partition}:s3:::${bucket}`,
      context: { "s3:prefix": "moxi/code/" },
    },
    {
      purpose: "read its inputs",
      actions: ["s3:GetObject"],
      resource: `arn:${partition}:s3:::${bucket}/moxi/code/${job}`,
    },
    ...["checkpoints", "models"].map((folder) => ({
      purpose: `write ${folder}`,
      actions: ["s3:PutObject"],
      resource: `arn:${partition}:s3:::${bucket}/moxi/${folder}/${job}`,
    })),
    {
      purpose: "write its log",
      actions: ["logs:CreateLogStream", "logs:PutLogEvents"],
      resource: stream,
    },
    ...(wanted.secrets === undefined ? [] : readingGrants(storeOf(wanted, account))),
    ...keyGrants(wanted, account, [
      ["encrypt what it leaves", "kms:Encrypt", "kms:GenerateDataKey"],
      ["read its inputs and that again", "kms:Decrypt"],
    ]),
  ];
  if (parts?.region === region) {
    grants.push({
      purpose: "fetch its image",
      actions: ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
      resource: `arn:${partition}:ecr:${parts.region}:${parts.registry}:repository/${parts.repository}`,
    });
  }
  return grants;
}

function storeOf({ region, roleArn, secrets }: Place, account: string): SecretStore {
  const partition = roleArn.split(":")[1] ?? "aws";
  return { partition, region, account, kmsKey: secrets?.kmsKey ?? null };
}

/** Nothing where no key is wanted, or none whose name policies know. */
function keyGrants(
  wanted: Place,
  account: string,
  grants: readonly (readonly [purpose: string, ...actions: string[]])[],
): Grant[] {
  const resource = keyArn(wanted, account);
  // A key of another region cannot be used by anybody, which its own check says.
  if (resource?.split(":")[3] !== wanted.region) return [];
  return grants.map(([purpose, ...actions]) => ({ purpose, actions, resource }));
}
