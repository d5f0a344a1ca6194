import { createHash } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Aws } from "../../aws/aws.ts";
import type { CreateTrainingJobRequest } from "../../aws/sagemaker.ts";
import { isMoxiError, MoxiError } from "../../base/errors.ts";
import { writeFileAtomic } from "../../base/files.ts";
import type { Host } from "../../base/host.ts";
import type { SecretReference } from "../../run/job.ts";
import { findContent, nameContent, sendContent } from "../../storage/content.ts";
import { upload } from "../../storage/upload.ts";
import { withLock } from "../../store/lock.ts";
import type { PlannedRequest, Submission } from "../target.ts";
import { channelsOf, inputsOf, runFiles } from "./inputs.ts";
import type { InputOptions } from "./inputs.ts";
import { cloudOf, jobSeconds } from "./limits.ts";
import { trainingJobRequest } from "./request.ts";
import type { Channel } from "./request.ts";
import { rehearseSecrets, secretsOf, sendSecrets } from "./secrets.ts";
import type { SecretVariables } from "./secrets.ts";

export interface SubmitOptions extends InputOptions {
  readonly aws: Aws;
  /** Moxi's folder in the user's cache. */
  readonly cache: string;
  /** What only the job may read, above all the Hugging Face token. */
  readonly variables?: SecretVariables;
  readonly host: Host;
  readonly clock: { now(): Date; sleep(milliseconds: number): Promise<void> };
}

/**
 * Brings everything to S3 that is not there, then submits the attempt under its own name. Broken
 * off anywhere and called again it goes on where it was: what is there is not sent twice, and a
 * name that is taken is this attempt's own job.
 *
 * @throws E_RUN_ID_TAKEN where S3 has another plan under this run's id, and what bundle, storage
 *   and aws throw
 */
export async function submitAttempt(submission: Submission, options: SubmitOptions): Promise<void> {
  const sent = join(submission.folder, "sent");
  // Made by this call, it says that nothing was sent of this run before.
  const first = (await mkdir(sent, { recursive: true })) !== undefined;
  // Two commands at once would change files under each other's feet.
  await withLock(join(sent, "lock"), options.clock, () =>
    sendAndCreate(submission, options, first),
  );
}

async function sendAndCreate(
  submission: Submission,
  options: SubmitOptions,
  first: boolean,
): Promise<void> {
  const { plan, attempt } = submission;
  const { aws, host, clock, cache, variables = {} } = options;
  const bucket = { name: cloudOf(submission).bucket };
  const cacheFile = join(cache, "uploaded.json");
  const sagemaker = await aws.sagemaker();
  const secrets = await secretsOf(submission, variables);
  await sendSecrets(aws, submission, secrets, variables);
  const channels: Channel[] = [];
  const inputs = await inputsOf(submission, options, "fetch");
  // Asked together, sent one after the other: each upload takes the whole line.
  const contents = await Promise.all(
    inputs.map(({ files, prefix }) =>
      findContent(aws, files, { bucket, prefix, cacheFile, clock }),
    ),
  );
  for (const [index, content] of contents.entries()) {
    await sendContent(aws, content, { bucket, host, clock });
    channels.push(...channelsOf(inputs[index]!, content.prefix));
  }
  await sendRun(submission, options, channels, secrets, first);
  if ((await sagemaker.create(requestFor(submission, channels))) === "created") return;
  const job = await sagemaker.describe(attempt.name);
  const isOurs = job === undefined || job.environment["MOXI_PLAN_HASH"] === plan.planHash;
  if (isOurs) return;
  throw new MoxiError("E_RUN_ID_TAKEN", `there is a training job ${attempt.name} of another plan`, {
    hint: "choose another --run-id, or leave it out",
  });
}

/** The same requests, named and not sent. */
export async function rehearseSubmit(
  submission: Submission,
  options: SubmitOptions,
): Promise<readonly PlannedRequest[]> {
  const { clock, cache, variables = {} } = options;
  const secrets = await secretsOf(submission, variables);
  const Bucket = cloudOf(submission).bucket;
  const cacheFile = join(cache, "uploaded.json");
  const put = (Key: string, ContentLength: number): PlannedRequest => ({
    service: "s3",
    operation: "PutObject",
    input: { Bucket, Key, ContentLength },
  });
  const requests = rehearseSecrets(submission, secrets);
  const channels: Channel[] = [];
  for (const input of await inputsOf(submission, options, "name")) {
    const { files, prefix } = input;
    const named = await nameContent(files, { prefix, cacheFile, clock });
    requests.push(...named.objects.map(({ key, size }) => put(key, size)));
    channels.push(...channelsOf(input, named.prefix));
  }
  for (const { key, text } of runFiles(submission, channels, secrets)) {
    requests.push(put(key, Buffer.byteLength(text)));
  }
  const input = requestFor(submission, channels) as unknown as PlannedRequest["input"];
  return [...requests, { service: "sagemaker", operation: "CreateTrainingJob", input }];
}

function requestFor(
  submission: Submission,
  channels: readonly Channel[],
): CreateTrainingJobRequest {
  const { run, plan, attempt } = submission;
  return trainingJobRequest({
    name: attempt.name,
    run,
    plan,
    cloud: cloudOf(submission),
    maxSeconds: jobSeconds(submission),
    channels: [...channels, { name: "job", prefix: `moxi/runs/${run}/job-a${attempt.attempt}/` }],
  });
}

/** The plan, the attempt and its job: what another machine needs to follow the run. */
async function sendRun(
  submission: Submission,
  { aws, host, clock }: SubmitOptions,
  channels: readonly Channel[],
  secrets: readonly SecretReference[],
  first: boolean,
): Promise<void> {
  const { run, folder } = submission;
  const bucket = { name: cloudOf(submission).bucket };
  const files = runFiles(submission, channels, secrets);
  const written = await Promise.all(
    files.map(async ({ key, text }) => {
      const path = join(folder, "sent", key.slice(`moxi/runs/${run}/`.length).replaceAll("/", "-"));
      await writeFileAtomic(path, text);
      // The ETag of an object that was sent whole, in a bucket without a key of its own: found, it
      // is not sent again; not found, S3 itself compares.
      return { path, key, md5: createHash("md5").update(text).digest("hex") };
    }),
  );
  const s3 = await aws.s3();
  const there = new Map(
    (first ? [] : await s3.list(bucket, `moxi/runs/${run}/`)).map(({ key, etag }) => [key, etag]),
  );
  const missing = written.filter(({ key, md5 }) => there.get(key) !== `"${md5}"`);
  if (missing.length === 0) return;
  try {
    await upload(aws, missing, { bucket, host, clock, what: "the run", ifAbsent: true });
  } catch (error) {
    if (!isMoxiError(error) || error.code !== "E_S3_EXISTS") throw error;
    throw new MoxiError("E_RUN_ID_TAKEN", `s3://${bucket.name}/moxi/runs/${run}/ has another run`, {
      hint: "choose another --run-id, or leave it out",
      cause: error,
    });
  }
}
