import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Aws } from "../../aws/aws.ts";
import type { Bucket } from "../../aws/s3.ts";
import { isMoxiError, MoxiError } from "../../base/errors.ts";
import { writeFileAtomic } from "../../base/files.ts";
import type { Host } from "../../base/host.ts";
import { makeBundle } from "../../bundle/bundle.ts";
import type { FetchedWheel } from "../../bundle/wheels.ts";
import { adapterFiles } from "../../model/adapter.ts";
import { modelFiles } from "../../model/folder.ts";
import { renderJob } from "../../run/job.ts";
import { uploadContent } from "../../storage/content.ts";
import type { ContentFile } from "../../storage/content.ts";
import { upload } from "../../storage/upload.ts";
import type { LocalFile } from "../../storage/upload.ts";
import { withLock } from "../../store/lock.ts";
import type { Submission } from "../target.ts";
import { trainingJobRequest } from "./request.ts";
import type { Channel } from "./request.ts";

export interface SubmitOptions {
  readonly aws: Aws;
  readonly bucket: Bucket;
  readonly roleArn: string;
  readonly image: string;
  /** What the image lacks of the locked packages. */
  readonly wheels: () => Promise<readonly FetchedWheel[]>;
  /** Holds bootstrap.py and moxi_train/. */
  readonly trainerFolder: string;
  /** Moxi's folder in the user's cache. */
  readonly cache: string;
  /** Values that may be in no file that is sent. */
  readonly secrets: readonly string[];
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
  await mkdir(sent, { recursive: true });
  // Two commands at once would change files under each other's feet.
  await withLock(join(sent, "lock"), options.clock, () => sendAndCreate(submission, options));
}

async function sendAndCreate(submission: Submission, options: SubmitOptions): Promise<void> {
  const { run, plan, attempt } = submission;
  const { aws, bucket, roleArn, image } = options;
  const sagemaker = await aws.sagemaker();
  const channels = await sendInputs(submission, options);
  await sendRun(submission, options, channels);
  const request = trainingJobRequest({
    name: attempt.name,
    run,
    plan,
    image,
    roleArn,
    bucket: bucket.name,
    channels: [...channels, { name: "job", prefix: `moxi/runs/${run}/job-a${attempt.attempt}/` }],
  });
  if ((await sagemaker.create(request)) === "created") return;
  const job = await sagemaker.describe(attempt.name);
  const isOurs = job === undefined || job.environment["MOXI_PLAN_HASH"] === plan.planHash;
  if (isOurs) return;
  throw new MoxiError("E_RUN_ID_TAKEN", `there is a training job ${attempt.name} of another plan`, {
    hint: "choose another --run-id, or leave it out",
  });
}

/** Code, rows and, where the base is a folder here, the model: named by their content. */
async function sendInputs(submission: Submission, options: SubmitOptions): Promise<Channel[]> {
  const { dataset, modelFolder, adapterFolder } = submission;
  const { trainerFolder, secrets, wheels } = options;
  const bundle = await makeBundle({ trainer: trainerFolder, wheels: await wheels(), secrets });
  const rows: ContentFile[] = [{ path: dataset.train, name: "train/train.jsonl" }];
  if (dataset.eval !== null) rows.push({ path: dataset.eval, name: "eval/eval.jsonl" });

  const code = await send(
    bundle.files.map(({ source, path }) => ({ path: source, name: path })),
    "moxi/code/",
    options,
  );
  const data = await send(rows, "moxi/data/sft/", options);
  const channels: Channel[] = [
    { name: "moxi", prefix: code },
    { name: "train", prefix: `${data}train/` },
  ];
  if (dataset.eval !== null) channels.push({ name: "eval", prefix: `${data}eval/` });
  if (modelFolder !== null) {
    const files = await modelFiles(modelFolder);
    channels.push({ name: "model", prefix: await send(files, "moxi/base/local/", options) });
  }
  if (adapterFolder !== null) {
    const files = adapterFiles.map((name) => ({ path: join(adapterFolder, name), name }));
    channels.push({ name: "adapter", prefix: await send(files, "moxi/base/adapters/", options) });
  }
  return channels;
}

async function send(
  files: readonly ContentFile[],
  prefix: string,
  { aws, bucket, host, clock, cache }: SubmitOptions,
): Promise<string> {
  const cacheFile = join(cache, "uploaded.json");
  const sent = await uploadContent(aws, files, { bucket, host, clock, prefix, cacheFile });
  return sent.prefix;
}

/** The plan, the attempt and its job: what another machine needs to follow the run. */
async function sendRun(
  submission: Submission,
  { aws, bucket, host, clock }: SubmitOptions,
  channels: readonly Channel[],
): Promise<void> {
  const { run, folder, plan, attempt } = submission;
  const hasModel = channels.some(({ name }) => name === "model");
  const modelPath = hasModel ? "input/data/model" : null;
  const job = renderJob(plan, { run, attempt: attempt.attempt, nonce: attempt.nonce, modelPath });
  const base = `moxi/runs/${run}`;
  const files: LocalFile[] = [
    { path: join(folder, "plan.json"), key: `${base}/plan.json` },
    await written(
      folder,
      `sent/attempt-${attempt.attempt}.json`,
      attempt,
      `${base}/attempts/${attempt.attempt}.json`,
    ),
    await written(
      folder,
      `sent/job-a${attempt.attempt}.json`,
      job,
      `${base}/job-a${attempt.attempt}/job.json`,
    ),
  ];
  try {
    await upload(aws, files, { bucket, host, clock, what: "the run", ifAbsent: true });
  } catch (error) {
    if (!isMoxiError(error) || error.code !== "E_S3_EXISTS") throw error;
    throw new MoxiError("E_RUN_ID_TAKEN", `s3://${bucket.name}/${base}/ has another run ${run}`, {
      hint: "choose another --run-id, or leave it out",
      cause: error,
    });
  }
}

async function written(
  folder: string,
  name: string,
  value: unknown,
  key: string,
): Promise<LocalFile> {
  const path = join(folder, name);
  await writeFileAtomic(path, `${JSON.stringify(value, null, 2)}\n`);
  return { path, key };
}
