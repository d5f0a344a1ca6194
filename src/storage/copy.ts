import { stat } from "node:fs/promises";
import { MoxiError, systemCode } from "../base/errors.ts";
import { formatCount, printable } from "../base/format.ts";
import type { Aws } from "../aws/aws.ts";
import type { Bucket, ObjectInfo, S3 } from "../aws/s3.ts";
import type { Copied } from "./copied.ts";
import { isSameContent } from "./checksums.ts";
import { createCrew } from "./crew.ts";
import { download, downloadPrefix, objectsBelow } from "./download.ts";
import type { Fetched } from "./download.ts";
import { removeLeft } from "./leftovers.ts";
import { inLanes } from "./lanes.ts";
import { localFiles } from "./local-files.ts";
import { safePath } from "./names.ts";
import type { StoragePlace } from "./place.ts";
import { upload } from "./upload.ts";
import type { TransferOptions } from "./upload.ts";

export interface CopyOptions extends TransferOptions {
  /** Leave out what is the same on the other side, by size and checksum. */
  readonly onlyChanged: boolean;
}

/** A file and its object, of which one side may not be there yet. */
interface Pair {
  readonly path: string;
  readonly key: string;
  /** Where the object is there. */
  readonly object?: ObjectInfo | undefined;
}

/**
 * Copies a file or a folder between this machine and S3. Nothing is removed on either side.
 *
 * @throws E_USAGE where not exactly one side is on S3, or nothing is at the source; E_FILE_NAME,
 *   E_AWS_NOT_FOUND; those of {@link upload} and {@link download}
 */
export async function copy(
  aws: Aws,
  source: StoragePlace,
  target: StoragePlace,
  options: CopyOptions,
): Promise<Copied> {
  if (source.kind === "local" && target.kind === "s3") {
    const bucket = { name: target.bucket };
    const pairs = await toSend(aws, source.path, target, options);
    const wanted = await changed(aws, bucket, pairs, options);
    const files = wanted.map(({ path, key }) => ({ path, key }));
    const sent = await upload(aws, files, { ...options, bucket, ifAbsent: false });
    return { ...sent, unchangedFiles: pairs.length - wanted.length };
  }
  if (source.kind === "s3" && target.kind === "local") {
    const bucket = { name: source.bucket };
    const from = await toFetch(aws, source, target);
    if ("prefix" in from && !options.onlyChanged) {
      const { files, ...got } = await downloadPrefix(aws, from, { ...options, bucket });
      return { ...got, files: files.length, unchangedFiles: 0 };
    }
    const objects =
      "prefix" in from
        ? await objectsBelow(await aws.s3(), bucket, from.prefix, from.folder)
        : [from];
    const pairs = objects.map((object) => ({ path: object.file, key: object.key, object }));
    const wanted = await changed(aws, bucket, pairs, options);
    const differ = new Set(wanted);
    const same = pairs.filter((pair) => !differ.has(pair));
    await removeLeft(same.map(({ path, object }) => ({ file: path, etag: object!.etag })));
    const { files, ...got } = await download(
      aws,
      wanted.map(({ object, path }) => ({ ...object!, file: path })),
      { ...options, bucket },
    );
    return { ...got, files: files.length, unchangedFiles: pairs.length - wanted.length };
  }
  throw sameSide(source);
}

/** Why nothing is copied between two places that are both on S3, or both here. */
export function sameSide({ kind }: StoragePlace): MoxiError {
  const where = kind === "s3" ? "on S3" : "on this machine";
  return new MoxiError("E_USAGE", `the source and the target are both ${where}`, {
    hint: "one of the two is a path, the other begins with s3://",
  });
}

async function toSend(
  aws: Aws,
  path: string,
  { bucket, key }: StoragePlace & { kind: "s3" },
  { host, onlyChanged }: CopyOptions,
): Promise<Pair[]> {
  // What could not come back is not sent.
  if (key !== "") safePath("", key.replace(/\/$/, ""), "target");
  const { kind, files, leftOut } = await localFiles(path);
  if (leftOut > 0) {
    const text = `links and special files are left out: ${formatCount(leftOut)} of them`;
    host.notify({ type: "warning", text, hint: "only plain files are sent" });
  }
  const asFolder = kind === "folder" || key === "" || key.endsWith("/");
  const prefix = key === "" || key.endsWith("/") ? key : `${key}/`;
  const keyOf = (name: string) => (asFolder ? `${prefix}${name}` : key);
  const s3 = await aws.s3();
  const listed = onlyChanged ? await s3.list({ name: bucket }, asFolder ? prefix : key) : [];
  const there = new Map(listed.map((object) => [object.key, object]));
  return files.map(({ path: file, name }) => {
    const place = keyOf(name);
    return { path: file, key: place, object: there.get(place) };
  });
}

async function toFetch(
  aws: Aws,
  { bucket: name, key }: StoragePlace & { kind: "s3" },
  { path, isFolder }: StoragePlace & { kind: "local" },
): Promise<Fetched | { readonly prefix: string; readonly folder: string }> {
  const bucket = { name };
  const s3 = await aws.s3();
  const kind = await kindOf(path);
  if (key !== "" && !key.endsWith("/")) {
    const object = await s3.head(bucket, key);
    if (object !== undefined) {
      const into = isFolder || kind === "folder";
      const file = into ? safePath(path, key.slice(key.lastIndexOf("/") + 1)) : path;
      return { ...object, file };
    }
  }
  if (kind === "file") {
    throw new MoxiError("E_USAGE", `${printable(path)} is a file, and a folder is to be fetched`, {
      hint: "name another folder, or remove that file",
      place: { file: path },
    });
  }
  const prefix = key === "" || key.endsWith("/") ? key : `${key}/`;
  return { prefix, folder: path };
}

async function kindOf(path: string): Promise<"file" | "folder" | undefined> {
  try {
    return (await stat(path)).isDirectory() ? "folder" : "file";
  } catch (error) {
    // Below a file nothing can be made: whoever tries is told.
    if (systemCode(error) === "ENOENT" || systemCode(error) === "ENOTDIR") return undefined;
    throw error;
  }
}

/** The pairs whose sides differ; all of them where that does not matter. */
async function changed(
  aws: Aws,
  bucket: Bucket,
  pairs: readonly Pair[],
  options: CopyOptions,
): Promise<readonly Pair[]> {
  if (!options.onlyChanged) return pairs;
  const { host } = options;
  const s3: S3 = await aws.s3();
  const bytes = pairs.reduce((sum, { object }) => sum + (object?.size ?? 0), 0);
  const crew = createCrew(s3.wire(bucket, options), aws.credentials, {
    bytes,
    partBytes: 0,
    atOnce: { first: 4, most: 4 },
    heldBytes: 64 << 20,
    threads: options.threads,
  });
  const task = { type: "task", id: "compare" } as const;
  host.notify({ ...task, state: "started", text: `comparing ${formatCount(pairs.length)} files` });
  try {
    const differ = await inLanes(pairs, comparedAtOnce, async ({ path, key, object }) => {
      const size = await sizeOf(path);
      if (object === undefined || size !== object.size) return true;
      const head = await s3.head(bucket, key);
      const same = head && (await isSameContent({ s3, crew, bucket }, head, { path, size }));
      return same !== true;
    });
    const wanted = pairs.filter((_, index) => differ[index]);
    const text = `${formatCount(pairs.length - wanted.length)} of ${formatCount(pairs.length)} files are the same`;
    host.notify({ ...task, state: "done", text });
    return wanted;
  } finally {
    crew.close();
  }
}

const comparedAtOnce = 32;

async function sizeOf(path: string): Promise<number | undefined> {
  const info = await stat(path).catch(() => undefined);
  return info?.isFile() === true ? info.size : undefined;
}
