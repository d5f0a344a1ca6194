import { plural } from "../base/format.ts";
import { sha256 } from "../base/hash.ts";
import type { Aws } from "../aws/aws.ts";
import { hashFiles } from "./hashes.ts";
import { giveUpStale } from "./stale.ts";
import { upload } from "./upload.ts";
import type { LocalFile, UploadOptions } from "./upload.ts";

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

/** Content that has its name, and what S3 lacks of it. */
export interface FoundContent {
  /** The prefix with the hash, ending in "/". */
  readonly prefix: string;
  readonly sha: string;
  /** The prefix without the hash. */
  readonly base: string;
  /** In words: "rows". */
  readonly what: string;
  readonly missing: readonly LocalFile[];
}

/** Names content and asks what S3 has of it: one list tells. Unchanged files are not even read. */
export async function findContent(
  aws: Aws,
  files: readonly ContentFile[],
  options: Pick<ContentOptions, "bucket" | "prefix" | "cacheFile" | "clock" | "what">,
): Promise<FoundContent> {
  const { what = plural(files.length, "file") } = options;
  const { sha, hashed, prefix } = await hashContent(files, options);
  const s3 = await aws.s3();
  const listed = await s3.list(options.bucket, prefix);
  const there = new Map(listed.map(({ key, size }) => [key, size]));
  const missing = files.flatMap(({ path, name }, index) => {
    const { stamp } = hashed[index]!;
    const key = `${prefix}${name}`;
    return there.get(key) === stamp.size ? [] : [{ path, key, stamp }];
  });
  return { prefix, sha, base: options.prefix, what, missing };
}

export interface Sent {
  readonly files: number;
  readonly bytes: number;
  /** Waits for the housekeeping, which nobody else has to wait for and which never fails. */
  readonly tidied: () => Promise<unknown>;
}

/** Sends what S3 lacks of several contents, all of it over the same connections. */
export async function sendContents(
  aws: Aws,
  contents: readonly FoundContent[],
  options: Omit<UploadOptions, "ifAbsent" | "what">,
): Promise<Sent> {
  const lacking = contents.filter(({ missing }) => missing.length > 0);
  const there = contents.filter(({ missing }) => missing.length === 0).map(({ what }) => what);
  if (there.length > 0) {
    const text = `in S3 already: ${there.join(", ")}`;
    options.host.notify({ type: "task", id: "upload", state: "done", text });
  }
  if (lacking.length === 0) return { files: 0, bytes: 0, tidied: () => Promise.resolve() };
  const files = lacking.flatMap(({ missing }) => missing);
  const what = `${lacking.map((one) => one.what).join(", ")} (${plural(files.length, "file")})`;
  const sent = await upload(aws, files, { ...options, what, ifAbsent: true });
  // Not before: the upload may have gone on with one that is as old.
  const tidying = Promise.all(lacking.map(({ base }) => giveUpStale(aws, base, options)));
  return { files: sent.files, bytes: sent.bytes - sent.resumedBytes, tidied: () => tidying };
}

/** Puts files under a prefix that their content names, so that the same content is never sent twice. */
export async function uploadContent(
  aws: Aws,
  files: readonly ContentFile[],
  options: ContentOptions,
): Promise<Content> {
  const content = await findContent(aws, files, options);
  const sent = await sendContents(aws, [content], options);
  await sent.tidied();
  const { prefix, sha } = content;
  return { prefix, sha, sentFiles: sent.files, sentBytes: sent.bytes };
}
