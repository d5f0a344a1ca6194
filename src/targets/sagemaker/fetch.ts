import { createReadStream } from "node:fs";
import { mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Aws } from "../../aws/aws.ts";
import type { Bucket, ObjectInfo } from "../../aws/s3.ts";
import { MoxiError, systemCode } from "../../base/errors.ts";
import { sha256 } from "../../base/hash.ts";
import type { Host } from "../../base/host.ts";
import { extractArchive } from "../../storage/archive.ts";
import { download } from "../../storage/download.ts";
import { NamesApart, safePath } from "../../storage/names.ts";
import { isWhole, manifestName, newestFirst, parseManifest } from "../manifest.ts";
import type { Amount, Fetched, Part, RunRef } from "../target.ts";
import { bucketOf, cloudOf } from "./limits.ts";
import { checkpointPrefix } from "./request.ts";

export interface FetchOptions {
  readonly aws: Aws;
  readonly host: Host;
  readonly clock: { now(): Date };
  /** How much the run has said that it left. */
  readonly told?: Amount | undefined;
}

/** Brings a part of what an attempt left to this machine: see the target's seam. */
export async function fetchPart(
  ref: RunRef,
  part: Part,
  folder: string,
  options: FetchOptions,
): Promise<Fetched> {
  const bucket = bucketOf(cloudOf(ref));
  const { run } = ref;
  switch (part) {
    case "artifact":
      return fetchArtifact(ref, bucket, folder, options);
    case "checkpoint":
      return fetchCheckpoint(ref, bucket, folder, options);
    case "base": {
      const prefix = `${checkpointPrefix(run)}base/`;
      const objects = await objectsBelow(options.aws, bucket, prefix);
      if (objects.length === 0) throw missing(run, "base model");
      return fetchObjects({ bucket, prefix, objects, folder, what: "the base model" }, options);
    }
  }
}

/** From where the service says that the model lies: a prefix, or an archive where it was packed. */
async function fetchArtifact(
  { run, attempt }: RunRef,
  own: Bucket,
  folder: string,
  options: FetchOptions,
): Promise<Fetched> {
  const { aws } = options;
  const job = await (await aws.sagemaker()).describe(attempt.name);
  const [, name, key] = /^s3:\/\/([^/]+)\/(.+)$/.exec(job?.artifact ?? "") ?? [];
  if (name === undefined || key === undefined) throw missing(run, "model");
  const bucket = { ...own, name };
  if (key.endsWith(".tar.gz")) return fetchArchive(run, bucket, key, folder, options);
  const prefix = key.endsWith("/") ? key : `${key}/`;
  const objects = await objectsBelow(aws, bucket, prefix);
  if (objects.length === 0) throw missing(run, "model");
  const bytes = objects.reduce((sum, { size }) => sum + size, 0);
  requireAmount(run, options.told, { files: objects.length, bytes });
  return fetchObjects({ bucket, prefix, objects, folder, what: "the model" }, options);
}

async function fetchArchive(
  run: string,
  bucket: Bucket,
  key: string,
  folder: string,
  { aws, host, clock, told }: FetchOptions,
): Promise<Fetched> {
  const object = await (await aws.s3()).head(bucket, key);
  if (object === undefined) throw missing(run, "model");
  const archive = draftOf(folder, [object]);
  await mkdir(dirname(archive), { recursive: true });
  const there = await stat(archive).then(
    ({ size }) => size === object.size,
    () => false,
  );
  if (!there) {
    const what = "the model's archive";
    await download(aws, [{ ...object, file: archive }], { bucket, host, clock, what });
  }
  const unpacked = `${archive}.model`;
  await rm(unpacked, { recursive: true, force: true });
  const source = createReadStream(archive, { highWaterMark: 1 << 20 });
  const { files, bytes } = await extractArchive(source, unpacked, { name: basename(key) });
  requireAmount(run, told, { files: files.length, bytes });
  await takePlace(unpacked, folder);
  return { folder, files: files.length, bytes, resumedBytes: there ? object.size : 0 };
}

/** The newest checkpoint whose files are those of its manifest; one that was torn is passed over. */
async function fetchCheckpoint(
  { run }: RunRef,
  bucket: Bucket,
  folder: string,
  options: FetchOptions,
): Promise<Fetched> {
  const { aws, host } = options;
  const top = checkpointPrefix(run);
  const all = await objectsBelow(aws, bucket, top);
  const names = new Set(all.map(({ key }) => key.slice(top.length).split("/")[0]!));
  for (const name of newestFirst(names)) {
    const prefix = `${top}${name}/`;
    const there = new Map(
      all
        .filter(({ key }) => key.startsWith(prefix))
        .map((each) => [each.key.slice(prefix.length), each]),
    );
    const manifest = there.has(manifestName)
      ? parseManifest((await (await aws.s3()).read(bucket, prefix + manifestName)) ?? "")
      : undefined;
    const whole =
      manifest !== undefined &&
      [...manifest].every(([file, { bytes }]) => there.get(file)?.size === bytes);
    if (whole) {
      const objects = [manifestName, ...manifest.keys()].map((file) => there.get(file)!);
      const what = `the checkpoint ${name}`;
      const place = join(folder, name);
      const gathered = await gather({ bucket, prefix, objects, folder: place, what }, options);
      const { draft, fetched } = gathered;
      if (draft === null) return fetched;
      if (await isWhole(draft)) {
        await takePlace(draft, place);
        return fetched;
      }
      await rm(draft, { recursive: true, force: true });
    }
    host.notify({
      type: "warning",
      text: `the checkpoint ${name} is not whole: an older one is taken`,
    });
  }
  throw missing(run, "whole checkpoint");
}

interface Wanted {
  readonly bucket: Bucket;
  readonly prefix: string;
  readonly objects: readonly ObjectInfo[];
  readonly folder: string;
  /** In words, for the progress. */
  readonly what: string;
}

/** Brings objects into a folder, which appears whole. */
async function fetchObjects(wanted: Wanted, options: FetchOptions): Promise<Fetched> {
  const { draft, fetched } = await gather(wanted, options);
  if (draft !== null) await takePlace(draft, wanted.folder);
  return fetched;
}

/**
 * Gathers objects beside their folder, in a draft whose name tells what they are: what is in it is
 * whole and checked, so that a repetition fetches only the rest. No draft where the folder has them.
 */
async function gather(
  { bucket, prefix, objects, folder, what }: Wanted,
  { aws, host, clock }: FetchOptions,
): Promise<{ readonly draft: string | null; readonly fetched: Fetched }> {
  const names = objects.map(({ key }) => key.slice(prefix.length));
  const apart = new NamesApart();
  for (const name of names) apart.add(name);
  const sum = (list: readonly ObjectInfo[]) => list.reduce((total, { size }) => total + size, 0);
  const bytes = sum(objects);
  const told = { folder, files: objects.length, bytes };
  if (await holds(folder, names, objects)) {
    return { draft: null, fetched: { ...told, resumedBytes: bytes } };
  }
  const draft = draftOf(folder, objects);
  await mkdir(draft, { recursive: true });
  const rest = [];
  for (const [index, object] of objects.entries()) {
    const file = safePath(draft, names[index]!);
    if (!(await hasSize(file, object.size))) rest.push({ ...object, file });
  }
  let resumedBytes = bytes - sum(rest);
  if (rest.length > 0) {
    resumedBytes += (await download(aws, rest, { bucket, host, clock, what })).resumedBytes;
  }
  return { draft, fetched: { ...told, resumedBytes } };
}

/** Whether the folder is what was fetched before, and nothing is missing in it. */
async function holds(
  folder: string,
  names: readonly string[],
  objects: readonly ObjectInfo[],
): Promise<boolean> {
  for (const [index, name] of names.entries()) {
    if (!(await hasSize(safePath(folder, name), objects[index]!.size))) return false;
  }
  return true;
}

async function hasSize(file: string, size: number): Promise<boolean> {
  return stat(file).then(
    (found) => found.isFile() && found.size === size,
    () => false,
  );
}

async function objectsBelow(aws: Aws, bucket: Bucket, prefix: string): Promise<ObjectInfo[]> {
  const objects = await (await aws.s3()).list(bucket, prefix);
  // Consoles make empty objects that stand for folders.
  return objects.filter(({ key, size }) => !(key.endsWith("/") && size === 0));
}

/** Beside the folder and hidden; another content has another name. */
function draftOf(folder: string, objects: readonly ObjectInfo[]): string {
  const content = objects.map(({ key, size, etag }) => [key, size, etag]);
  const tag = sha256(JSON.stringify(content)).slice(0, 16);
  return join(dirname(folder), `${draftPrefix(folder)}${tag}`);
}

function draftPrefix(folder: string): string {
  return `.${basename(folder)}.pull-`;
}

/** Puts a whole folder into its place; an older one goes, and so does what other tries have left. */
async function takePlace(draft: string, folder: string): Promise<void> {
  const old = `${draft}.old`;
  await rm(old, { recursive: true, force: true });
  try {
    await rename(folder, old);
  } catch (error) {
    if (systemCode(error) !== "ENOENT") throw error;
  }
  await rename(draft, folder);
  for (const name of await readdir(dirname(folder))) {
    if (!name.startsWith(draftPrefix(folder))) continue;
    await rm(join(dirname(folder), name), { recursive: true, force: true });
  }
}

/** Refuses what is not as much as the run has told of, before it takes its place. */
function requireAmount(run: string, told: Amount | undefined, found: Amount): void {
  if (told === undefined || (told.files === found.files && told.bytes === found.bytes)) return;
  const amount = ({ files, bytes }: Amount) => `${files} files of ${bytes} bytes`;
  const text = `${run} has left ${amount(told)}, and S3 has ${amount(found)}`;
  throw new MoxiError("E_S3_CHANGED", text, {
    hint: "something has changed or removed them; the checkpoint is another copy: moxi pull --what checkpoint",
  });
}

function missing(run: string, what: string): MoxiError {
  return new MoxiError("E_RUN_STATE", `${run} has left no ${what} in S3`, {
    hint: `moxi show ${run} tells what became of it`,
  });
}
