import { createHash } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Aws } from "../../aws/aws.ts";
import { bucketFields, encryptionFields } from "../../aws/bucket-fields.ts";
import type { CreateTrainingJobRequest, SageMaker, TrainingJob } from "../../aws/sagemaker.ts";
import { isMoxiError, MoxiError } from "../../base/errors.ts";
import { writeFileAtomic } from "../../base/files.ts";
import type { Host } from "../../base/host.ts";
import { askedMachine } from "../../run/attempt.ts";
import type { SecretReference } from "../../run/job.ts";
import { findContent, nameContent, sendContents } from "../../storage/content.ts";
import { upload } from "../../storage/upload.ts";
import { withLock } from "../../store/lock.ts";
import type { Continuation, PlannedRequest, RunRef, Submission } from "../target.ts";
import { mirrorModel, rehearseMirror } from "./base-model.ts";
import { checkPlan } from "./constraints.ts";
import { channelsOf, inputsOf, mirrorOf, runFiles } from "./inputs.ts";
import type { InputOptions } from "./inputs.ts";
import { bucketOf, cloudOf, jobSeconds } from "./limits.ts";
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
 * @throws E_CONFIG_INVALID for what SageMaker would refuse, E_RUN_ID_TAKEN where S3 has another plan under this run's id, and what bundle, storage
 *   and aws throw
 */
export async function submitAttempt(
  submission: Submission | Continuation,
  options: SubmitOptions,
): Promise<void> {
  checkPlan(submission.plan);
  const sent = join(submission.folder, "sent");
  // Made by this call, it says that nothing was sent of this run before.
  const first = (await mkdir(sent, { recursive: true })) !== undefined;
  // Two commands at once would change files under each other's feet.
  await withLock(join(sent, "lock"), options.clock, () =>
    sendAndCreate(submission, options, first),
  );
}

async function sendAndCreate(
  submission: Submission | Continuation,
  options: SubmitOptions,
  first: boolean,
): Promise<void> {
  const { aws, variables = {} } = options;
  // First: what may not be stored must not cost an upload of gigabytes.
  const secrets = await secretsOf(aws, submission, variables);
  await sendSecrets(aws, submission, secrets, variables);
  const { channels, tidied } =
    "kept" in submission ? keptInputs(submission) : await sendInputs(submission, options);
  await sendRun(submission, options, channels, secrets, first);
  await create(submission, requestFor(submission, channels, options), await aws.sagemaker());
  await tidied();
}

interface SentInputs {
  readonly channels: readonly Channel[];
  /** Waits for the housekeeping, which the job does not wait for. */
  readonly tidied: () => Promise<unknown>;
}

function keptInputs({ kept }: Continuation): SentInputs {
  const channels = kept.map(({ name, place }) => ({ name, prefix: place }));
  return { channels, tidied: () => Promise.resolve() };
}

/** Brings to S3 what is not there: code, rows and models. */
async function sendInputs(submission: Submission, options: SubmitOptions): Promise<SentInputs> {
  const { aws, host, clock, cache, fetchModel } = options;
  const bucket = bucketOf(cloudOf(submission));
  const cacheFile = join(cache, "uploaded.json");
  const inputs = await inputsOf(submission, options, "fetch");
  const contents = await Promise.all(
    inputs.map(({ what, files, prefix }) =>
      findContent(aws, files, { bucket, prefix, cacheFile, clock, what }),
    ),
  );
  const { tidied } = await sendContents(aws, contents, { bucket, host, clock });
  const channels = inputs.flatMap((input, index) => channelsOf(input, contents[index]!.prefix));
  const mirror = mirrorOf(submission);
  if (mirror === undefined) return { channels, tidied };
  if (fetchModel === undefined) throw new TypeError("a model that is mirrored needs `fetchModel`");
  const drafts = join(submission.folder, "sent");
  const { model } = submission.plan.recipe;
  await mirrorModel(model, mirror, { aws, bucket, host, clock, fetchModel, drafts });
  return { channels: [...channels, { name: "model", prefix: mirror }], tidied };
}

/**
 * Submits the attempt. A request whose answer is lost is sent again, and the second may be refused
 * for what the first has done: then the job is there, and that is what was wanted.
 */
async function create(
  submission: RunRef,
  request: CreateTrainingJobRequest,
  sagemaker: SageMaker,
): Promise<void> {
  const { name } = submission.attempt;
  const { planHash } = submission.plan;
  const isOurs = (job: TrainingJob) => job.environment["MOXI_PLAN_HASH"] === planHash;
  let answer: "created" | "exists";
  try {
    answer = await sagemaker.create(request);
  } catch (error) {
    const job = await sagemaker.describe(name).catch(() => undefined);
    if (job !== undefined && isOurs(job)) return;
    throw error;
  }
  if (answer === "created") return;
  const job = await sagemaker.describe(name);
  if (job === undefined || isOurs(job)) return;
  throw new MoxiError("E_RUN_ID_TAKEN", `there is a training job ${name} of another plan`, {
    hint: "choose another --run-id, or leave it out",
  });
}

/** The same requests, named and not sent. */
export async function rehearseSubmit(
  submission: Submission,
  options: SubmitOptions,
): Promise<readonly PlannedRequest[]> {
  const { aws, clock, cache, variables = {} } = options;
  const secrets = await secretsOf(aws, submission, variables);
  const bucket = bucketOf(cloudOf(submission));
  const cacheFile = join(cache, "uploaded.json");
  const put = (Key: string, ContentLength: number): PlannedRequest => ({
    service: "s3",
    operation: "PutObject",
    input: { ...bucketFields(bucket), Key, ContentLength, ...encryptionFields(bucket) },
  });
  const requests = rehearseSecrets(submission, secrets);
  const channels: Channel[] = [];
  for (const input of await inputsOf(submission, options, "name")) {
    const { files, prefix } = input;
    const named = await nameContent(files, { prefix, cacheFile, clock });
    requests.push(...named.objects.map(({ key, size }) => put(key, size)));
    channels.push(...channelsOf(input, named.prefix));
  }
  const mirror = mirrorOf(submission);
  if (mirror !== undefined) {
    const { model } = submission.plan.recipe;
    requests.push(...(await rehearseMirror(model, mirror, { aws, bucket })));
    channels.push({ name: "model", prefix: mirror });
  }
  for (const { key, text } of runFiles(submission, channels, secrets)) {
    requests.push(put(key, Buffer.byteLength(text)));
  }
  const input = requestFor(submission, channels, options) as unknown as PlannedRequest["input"];
  return [...requests, { service: "sagemaker", operation: "CreateTrainingJob", input }];
}

function requestFor(
  ref: RunRef,
  channels: readonly Channel[],
  { hubUrl }: SubmitOptions,
): CreateTrainingJobRequest {
  const { run, plan, attempt } = ref;
  return trainingJobRequest({
    name: attempt.name,
    run,
    plan,
    cloud: cloudOf(ref),
    instance: askedMachine(plan, attempt),
    hubUrl,
    maxSeconds: jobSeconds(ref),
    channels: [...channels, { name: "job", prefix: `moxi/runs/${run}/job-a${attempt.attempt}/` }],
  });
}

/** The plan, the attempt and its job: what another machine needs to follow the run. */
async function sendRun(
  submission: RunRef,
  { aws, host, clock }: SubmitOptions,
  channels: readonly Channel[],
  secrets: readonly SecretReference[],
  first: boolean,
): Promise<void> {
  const { run, folder, attempt } = submission;
  const bucket = bucketOf(cloudOf(submission));
  const files = runFiles(submission, channels, secrets);
  const written = await Promise.all(
    files.map(async ({ key, text }) => {
      const path = join(folder, "sent", key.slice(`moxi/runs/${run}/`.length).replaceAll("/", "-"));
      await writeFileAtomic(path, text);
      // The ETag of an object that was sent whole and that no KMS key encrypts: found, it is not
      // sent again; not found, S3 itself compares.
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
    await upload(aws, missing, {
      bucket,
      host,
      clock,
      what: "plan and job of the run",
      ifAbsent: true,
    });
  } catch (error) {
    if (!isMoxiError(error) || error.code !== "E_S3_EXISTS") throw error;
    if (attempt.attempt > 1) {
      const message = `attempt ${attempt.attempt} of ${run} exists already, started elsewhere`;
      throw new MoxiError("E_RUN_STATE", message, { hint: `moxi watch ${run}`, cause: error });
    }
    throw new MoxiError("E_RUN_ID_TAKEN", `s3://${bucket.name}/moxi/runs/${run}/ has another run`, {
      hint: "choose another --run-id, or leave it out",
      cause: error,
    });
  }
}
