import { join } from "node:path";
import { makeBundle } from "../../bundle/bundle.ts";
import type { FetchedWheel } from "../../bundle/wheels.ts";
import { MoxiError } from "../../base/errors.ts";
import { sha256 } from "../../base/hash.ts";
import { adapterFiles } from "../../model/adapter.ts";
import { modelFiles } from "../../model/folder.ts";
import { renderJob } from "../../run/job.ts";
import type { SecretReference } from "../../run/job.ts";
import type { ContentFile } from "../../storage/content.ts";
import type { RunRef, Submission } from "../target.ts";
import { isHubModel, mirrorPrefix } from "./base-model.ts";
import type { FetchModel } from "./base-model.ts";
import { cloudOf, trainingSeconds } from "./limits.ts";
import type { Channel } from "./request.ts";

export interface InputOptions {
  /** The packages that are locked for the image of a tag: fetched, or only named. */
  readonly wheels: (imageTag: string, how: "fetch" | "name") => Promise<readonly FetchedWheel[]>;
  /** Holds bootstrap.py and moxi_train/. */
  readonly trainerFolder: string;
  /** The model hub that the job asks. Default: Hugging Face's. */
  readonly hubUrl?: string;
  /** For a base model that is mirrored. */
  readonly fetchModel?: FetchModel;
  /** Values that may be in no file that is sent. */
  readonly secrets: readonly string[];
  /** Remembers which files hold no secret. */
  readonly scanCache?: string;
}

/** Files that lie in S3 under a name of their content, and the job's folders that they fill. */
export interface Input {
  /** In words, for who watches the upload. */
  readonly what: string;
  readonly files: readonly ContentFile[];
  /** Ends in "/": the content's hash follows. */
  readonly prefix: string;
  /** Each channel's name, and its folder below the prefix: "" for the whole. */
  readonly channels: Readonly<Record<string, string>>;
}

/** Code, rows and, where they are folders here and are not mirrored, the base model and the adapter. */
export async function inputsOf(
  submission: Submission,
  { trainerFolder, secrets, wheels, scanCache }: InputOptions,
  how: "fetch" | "name",
): Promise<Input[]> {
  const { dataset, modelFolder, adapterFolder } = submission;
  const isMirrored = mirrorOf(submission) !== undefined;
  const { kmsKey } = cloudOf(submission);
  const bundle = await makeBundle({
    trainer: trainerFolder,
    wheels: await wheels(cloudOf(submission).imageTag, how),
    secrets,
    ...(scanCache !== undefined && { scanCache }),
  });
  const rows: ContentFile[] = [{ path: dataset.train, name: "train/train.jsonl" }];
  if (dataset.eval !== null) rows.push({ path: dataset.eval, name: "eval/eval.jsonl" });
  const sides = dataset.eval === null ? { train: "train/" } : { train: "train/", eval: "eval/" };
  const inputs: Input[] = [
    {
      what: "code",
      files: bundle.files.map(({ source, path }) => ({ path: source, name: path })),
      prefix: underKey("moxi/code/", kmsKey),
      channels: { moxi: "" },
    },
    { what: "rows", files: rows, prefix: underKey("moxi/data/sft/", kmsKey), channels: sides },
  ];
  if (modelFolder !== null && !isMirrored) {
    const files = await modelFiles(modelFolder);
    const channels = { model: "" };
    const prefix = underKey("moxi/base/local/", kmsKey);
    inputs.push({ what: "base model", files, prefix, channels });
  }
  if (adapterFolder !== null) {
    const files = adapterFiles.map((name) => ({ path: join(adapterFolder, name), name }));
    const channels = { adapter: "" };
    const prefix = underKey("moxi/base/adapters/", kmsKey);
    inputs.push({ what: "adapter", files, prefix, channels });
  }
  return inputs;
}

/**
 * Where what is kept for later runs lies, by the key that encrypts it: a role that may use one key
 * could not read what was sent under another.
 */
function underKey(folder: string, kmsKey: string | null): string {
  return kmsKey === null ? folder : `${folder}kms-${sha256(kmsKey).slice(0, 16)}/`;
}

/** The channels that an input fills, once its place in S3 is known. */
export function channelsOf({ channels }: Input, prefix: string): Channel[] {
  return Object.entries(channels).map(([name, folder]) => ({ name, prefix: prefix + folder }));
}

/**
 * Where the base model is mirrored, ending in "/"; undefined where it is not to be.
 *
 * @throws E_CONFIG_INVALID where the hub does not tell which commit it is
 */
export function mirrorOf({ plan, run }: Pick<RunRef, "plan" | "run">): string | undefined {
  const { model } = plan.recipe;
  const { mirrorModel, kmsKey } = cloudOf({ plan, run });
  if (!mirrorModel || !isHubModel(model)) return undefined;
  const prefix = mirrorPrefix(model, underKey("moxi/base/", kmsKey));
  if (prefix !== undefined) return prefix;
  throw new MoxiError("E_CONFIG_INVALID", `the hub does not tell the commit of ${model.id}`, {
    hint: "set revision to a commit: what is copied into the bucket must not change",
    place: { field: "revision" },
  });
}

/** The plan, the attempt and its job, as they lie in S3: what another machine follows the run by. */
export function runFiles(
  submission: RunRef,
  channels: readonly Channel[],
  secrets: readonly SecretReference[],
): readonly { readonly key: string; readonly text: string }[] {
  const { run, plan } = submission;
  // Whether it was accepted is this machine's to know, and would be old when others read it.
  const { submittedAt: _, ...told } = submission.attempt;
  const { attempt, nonce } = told;
  const hasModel = channels.some(({ name }) => name === "model");
  const modelPath = hasModel ? "input/data/model" : null;
  const maxSeconds = trainingSeconds(submission);
  const job = renderJob(plan, { run, attempt, nonce, modelPath, maxSeconds, secrets });
  const base = `moxi/runs/${run}`;
  const file = (name: string, value: unknown) => ({
    key: `${base}/${name}`,
    text: `${JSON.stringify(value, null, 2)}\n`,
  });
  return [
    file("plan.json", plan),
    file(`attempts/${attempt}.json`, told),
    file(`job-a${attempt}/job.json`, job),
  ];
}
