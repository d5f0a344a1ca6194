import { formatCount } from "../base/format.ts";
import { sha256 } from "../base/hash.ts";
import type { Aws } from "../aws/aws.ts";
import { hashFiles } from "./hashes.ts";
import { giveUpStale } from "./stale.ts";
import { upload } from "./upload.ts";
import type { UploadOptions } from "./upload.ts";

export interface ContentFile {
  readonly path: string;
  /** Below the prefix, with slashes. */
  readonly name: string;
}

export interface ContentOptions extends Omit<UploadOptions, "ifAbsent"> {
  /** Ends in "/": the content's hash follows. */
  readonly prefix: string;
  /** Where the hashes of files are kept between commands. */
  readonly cacheFile: string;
}

export interface Content {
  /** The prefix with the hash, ending in "/". */
  readonly prefix: string;
  readonly sha: string;
  readonly sentFiles: number;
  readonly sentBytes: number;
}

/** What the content of some files is called: SHA-256 over their names and hashes, in any order. */
export function contentHash(
  files: readonly { readonly name: string; readonly sha256: string }[],
): string {
  const lines = files.map((file) => `${file.sha256}  ${file.name}\n`);
  return sha256(lines.sort().join(""));
}

/** What some files will be called in S3, each with its size in bytes, before any of them is sent. */
export async function nameContent(
  files: readonly ContentFile[],
  options: Pick<ContentOptions, "prefix" | "cacheFile" | "clock">,
): Promise<{
  readonly prefix: string;
  readonly objects: readonly { readonly key: string; readonly size: number }[];
}> {
  const { prefix, hashed } = await hashContent(files, options);
  const objects = files.map(({ name }, index) => ({
    key: `${prefix}${name}`,
    size: hashed[index]!.stamp.size,
  }));
  return { prefix, objects };
}

async function hashContent(
  files: readonly ContentFile[],
  { prefix, cacheFile, clock }: Pick<ContentOptions, "prefix" | "cacheFile" | "clock">,
) {
  const paths = files.map(({ path }) => path);
  const hashed = await hashFiles(paths, cacheFile, clock.now());
  const sha = contentHash(files.map(({ name }, index) => ({ name, ...hashed[index]! })));
  return { sha, hashed, prefix: `${prefix}${sha}/` };
}

/**
 * Puts files under a prefix that their content names, so that the same content is never sent twice:
 * unchanged files are not even read, and one list tells what S3 has.
 */
export async function uploadContent(
  aws: Aws,
  files: readonly ContentFile[],
  options: ContentOptions,
): Promise<Content> {
  const { bucket, host } = options;
  const { sha, hashed, prefix: folder } = await hashContent(files, options);
  const s3 = await aws.s3();
  const there = new Map((await s3.list(bucket, folder)).map(({ key, size }) => [key, size]));
  const missing = files.flatMap(({ path, name }, index) => {
    const { stamp } = hashed[index]!;
    const key = `${folder}${name}`;
    return there.get(key) === stamp.size ? [] : [{ path, key, stamp }];
  });
  if (missing.length === 0) {
    const text = `${formatCount(files.length)} ${files.length === 1 ? "file is" : "files are"} in S3 already`;
    host.notify({ type: "task", id: "upload", state: "done", text });
    return { prefix: folder, sha, sentFiles: 0, sentBytes: 0 };
  }
  const sent = await upload(aws, missing, { ...options, ifAbsent: true });
  await giveUpStale(aws, options.prefix, options);
  return { prefix: folder, sha, sentFiles: sent.files, sentBytes: sent.bytes - sent.resumedBytes };
}
