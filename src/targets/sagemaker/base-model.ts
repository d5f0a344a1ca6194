import { join } from "node:path";
import type { Aws } from "../../aws/aws.ts";
import { bucketFields, encryptionFields } from "../../aws/bucket-fields.ts";
import type { Bucket } from "../../aws/s3.ts";
import { isMoxiError } from "../../base/errors.ts";
import { writeFileAtomic } from "../../base/files.ts";
import type { Host } from "../../base/host.ts";
import { modelFiles, neededFiles } from "../../model/folder.ts";
import type { ModelFile } from "../../model/folder.ts";
import { toyModel } from "../../run/recipe.ts";
import type { Recipe } from "../../run/recipe.ts";
import { upload } from "../../storage/upload.ts";
import type { PlannedRequest } from "../target.ts";

type Model = Recipe["model"];

/** Fetches a hub model at its commit into a folder of this machine. */
export type FetchModel = (model: Model) => Promise<string>;

export interface MirrorOptions {
  readonly aws: Aws;
  readonly bucket: Bucket;
  readonly host: Host;
  readonly clock: { now(): Date };
  readonly fetchModel: FetchModel;
  /** Takes the file that is written here before it is sent. */
  readonly drafts: string;
}

/** Written last: a mirror that has it is whole. */
const manifestName = "moxi.base.json";

/** Whether a job has to get the model from the hub: no folder of the user's, and no toy. */
export function isHubModel({ id, fingerprint }: Model): boolean {
  return id !== toyModel && fingerprint === null;
}

/** Where below a folder a hub model is mirrored, ending in "/"; undefined where no commit says which it is. */
export function mirrorPrefix({ id, revision }: Model, folder: string): string | undefined {
  if (revision === null) return undefined;
  return `${folder}${id.replaceAll("/", "--")}@${revision}/`;
}

/**
 * Copies a hub model into the bucket unless it is there: by whom and when does not matter, since a
 * commit never changes. Broken off and called again, it sends what is missing.
 */
export async function mirrorModel(
  model: Model,
  prefix: string,
  options: MirrorOptions,
): Promise<void> {
  const { aws, bucket, host, clock, fetchModel, drafts } = options;
  const there = await whatIsThere(options, prefix);
  if (there.has(manifestName)) {
    const text = `in S3 already: the base model ${model.id}`;
    return host.notify({ type: "task", id: "upload", state: "done", text });
  }
  const files = await filesOf(await fetchModel(model));
  const missing = files
    .filter(({ name, size }) => there.get(name) !== size)
    .map(({ name, path }) => ({ path, key: prefix + name }));
  const what = `the base model ${model.id}`;
  const sending = { bucket, host, clock, what, ifAbsent: true };
  await upload(aws, missing, sending);
  const manifest = join(drafts, manifestName);
  await writeFileAtomic(manifest, `${JSON.stringify(manifestOf(model, files), null, 2)}\n`);
  try {
    await upload(aws, [{ path: manifest, key: prefix + manifestName }], sending);
  } catch (error) {
    // Somebody else has mirrored it meanwhile, perhaps from a folder with a file more.
    if (!isMoxiError(error) || error.code !== "E_S3_EXISTS") throw error;
  }
}

/** The same, named and not sent: without the files' names where they are not on this machine. */
export async function rehearseMirror(
  model: Model,
  prefix: string,
  options: Pick<MirrorOptions, "aws" | "bucket">,
): Promise<readonly PlannedRequest[]> {
  const { bucket } = options;
  const there = await whatIsThere(options, prefix);
  if (there.has(manifestName)) return [];
  const what = { Key: prefix, Source: `${model.id} of the hub` };
  const input = { ...bucketFields(bucket), ...what, ...encryptionFields(bucket) };
  return [{ service: "s3", operation: "PutObject", input }];
}

async function whatIsThere(
  { aws, bucket }: Pick<MirrorOptions, "aws" | "bucket">,
  prefix: string,
): Promise<ReadonlyMap<string, number>> {
  const found = await (await aws.s3()).list(bucket, prefix);
  return new Map(found.map(({ key, size }) => [key.slice(prefix.length), size]));
}

async function filesOf(folder: string): Promise<ModelFile[]> {
  const files = await modelFiles(folder);
  const needed = new Set(neededFiles(files.map(({ name }) => name)));
  return files.filter(({ name }) => needed.has(name));
}

function manifestOf({ id, revision }: Model, files: readonly ModelFile[]) {
  return {
    formatVersion: 1,
    model: id,
    revision,
    files: files.map(({ name, size }) => ({ name, size })),
  };
}
