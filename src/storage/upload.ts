import { statSync } from "node:fs";
import { stat } from "node:fs/promises";
import { isCode, MoxiError } from "../base/errors.ts";
import { formatBytes, plural } from "../base/format.ts";
import { stampOf } from "../base/stamp.ts";
import type { Stamp } from "../base/stamp.ts";
import type { Host } from "../base/host.ts";
import type { Aws } from "../aws/aws.ts";
import type { Bucket, ObjectHead, S3, Unfinished, UploadedPart } from "../aws/s3.ts";
import { crcText } from "../aws/wire.ts";
import { isSameContent } from "./checksums.ts";
import { combineCrc } from "./crc.ts";
import { createCrew } from "./crew.ts";
import { Halt, inLanes } from "./lanes.ts";
import { changedError } from "./mover.ts";
import type { Mover } from "./mover.ts";
import { startProgress } from "./progress.ts";
import type { Progress } from "./progress.ts";
import { giveUpOld } from "./stale.ts";

export interface LocalFile {
  readonly path: string;
  readonly key: string;
  /** As it was when its content was hashed; a file that differs from it is refused. */
  readonly stamp?: Stamp;
}

export interface TransferOptions {
  readonly host: Host;
  readonly clock: { now(): Date };
  /** In words, for the progress. */
  readonly what?: string;
  /** The rest is for tests: threads, the smallest part, the first pause before a repetition. */
  readonly threads?: number;
  readonly partBytes?: number;
  readonly pauseMs?: number;
}

export interface UploadOptions extends TransferOptions {
  readonly bucket: Bucket;
  /** Refuse to replace an object; one of the same content is fine. */
  readonly ifAbsent: boolean;
}

export interface Uploaded {
  readonly files: number;
  /** Of the files, whatever was sent before and was found again included. */
  readonly bytes: number;
  /** Found in S3 from an upload that was broken off. */
  readonly resumedBytes: number;
}

const mib = 1 << 20;
/** S3 takes at most 10,000 parts of at least 5 MiB. */
const standardPart = 16 * mib;
const mostParts = 9_000;
/** What all that is sent at once may take of memory. */
const heldBytes = 96 * mib;
const smallAtOnce = { first: 64, most: 256 };
/** So many are begun at once: the end of one and the start of the next leave the line idle. */
const bigAtOnce = 4;
const partsAtOnce = 16;

function partBytesFor(size: number, least: number): number {
  return Math.max(least, Math.ceil(size / mostParts / mib) * mib);
}

/**
 * Sends files. Large ones go in parts, and an upload that was broken off goes on where it stopped:
 * parts that S3 has are compared with the file by CRC-32, not sent again. A file that changes
 * meanwhile is refused, and nothing of it appears.
 *
 * @throws E_FILE_CHANGED, E_S3_EXISTS, and whatever {@link translate} makes of S3's answers
 */
export async function upload(
  aws: Aws,
  files: readonly LocalFile[],
  options: UploadOptions,
): Promise<Uploaded> {
  const { bucket, host, clock } = options;
  const s3 = await aws.s3();
  // Not by the thread pool, which takes ten times as long as the file system.
  const stamped = files.map((file) => {
    const stamp = stampOf(statSync(file.path, { bigint: true }));
    if (file.stamp !== undefined && file.stamp.changed !== stamp.changed) {
      throw changedError(file.path);
    }
    return { ...file, stamp };
  });
  const least = options.partBytes ?? standardPart;
  const bytes = stamped.reduce((sum, { stamp }) => sum + stamp.size, 0);
  const largest = Math.max(0, ...stamped.map(({ stamp }) => stamp.size));
  const partBytes = partBytesFor(largest, least);
  const crew = createCrew(s3.wire(bucket, options), aws.credentials, {
    // Many small files are no work for threads: each would open its own connections.
    bytes: stamped.reduce((sum, { stamp }) => sum + (stamp.size > least ? stamp.size : 0), 0),
    partBytes,
    heldBytes: Math.max(heldBytes, 2 * partBytes),
    atOnce: smallAtOnce,
    threads: options.threads,
  });
  const progress = startProgress({
    host,
    id: "upload",
    what: options.what ?? `${plural(files.length, "file")}`,
    totalBytes: bytes,
    now: () => clock.now().getTime(),
  });
  const halt = new Halt();
  const replaced: Unfinished[] = [];
  const { ifAbsent } = options;
  const job: Job = { s3, crew, progress, halt, bucket, ifAbsent, replaced };
  try {
    const small = stamped.filter(({ stamp }) => stamp.size <= least);
    const big = stamped.filter(({ stamp }) => stamp.size > least);
    const sendBig = (file: Stamped) => putLarge(job, file, partBytesFor(file.stamp.size, least));
    const [resumed] = await halt.all([
      inLanes(big, bigAtOnce, sendBig, halt),
      inLanes(small, 2 * smallAtOnce.most, (file) => putSmall(job, file), halt),
    ]);
    const resumedBytes = resumed.reduce((sum, each) => sum + each, 0);
    const there = resumedBytes === 0 ? "" : `, ${formatBytes(resumedBytes)} were there`;
    const whose = options.what === undefined ? "" : `${options.what}: `;
    progress.done(
      `${whose}${formatBytes(bytes - resumedBytes)} sent to s3://${bucket.name}${there}`,
    );
    await giveUpOld(s3, replaced, { bucket, host, clock });
    return { files: files.length, bytes, resumedBytes };
  } finally {
    crew.close();
  }
}

interface Job {
  readonly s3: S3;
  readonly crew: Mover;
  readonly progress: Progress;
  readonly halt: Halt;
  readonly bucket: Bucket;
  readonly ifAbsent: boolean;
  /** Unfinished uploads of objects that are there now. */
  readonly replaced: Unfinished[];
}

interface Stamped extends LocalFile {
  readonly stamp: Stamp;
}

async function putSmall(job: Job, { path, key, stamp }: Stamped): Promise<void> {
  const { crew, bucket, ifAbsent, progress, s3 } = job;
  const count = (bytes: number) => progress.add(bytes);
  try {
    await crew.run({ kind: "put", file: path, stamp, key, ifAbsent }, count);
  } catch (error) {
    if (!ifAbsent || !isCode(error, "E_S3_CHANGED")) throw error;
    const found = await s3.head(bucket, key);
    if (!(await isThere(job, found, { path, size: stamp.size }))) throw existsError(bucket, key);
    progress.add(stamp.size);
  }
}

async function putLarge(job: Job, file: Stamped, partBytes: number): Promise<number> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await putParts(job, file, partBytes);
    } catch (error) {
      // Somebody has removed the parts: once more from the start.
      if (!isCode(error, "E_S3_UPLOAD_GONE") || attempt === 2) throw error;
    }
  }
}

async function putParts(job: Job, file: Stamped, partBytes: number): Promise<number> {
  const { s3, crew, bucket, ifAbsent, progress, halt, replaced } = job;
  const { path, key, stamp } = file;
  const wanted = Array.from({ length: Math.ceil(stamp.size / partBytes) }, (_, index) => ({
    number: index + 1,
    offset: index * partBytes,
    length: Math.min(partBytes, stamp.size - index * partBytes),
  }));
  const { id, found, others } = await findUpload(job, file, wanted);
  const resumed = wanted.filter(({ number }) => found.has(number));
  for (const { length } of resumed) progress.add(length);
  const crcs = new Map<number, number>();
  const parts = new Map<number, UploadedPart>();
  for (const part of found.values()) {
    parts.set(part.number, part);
    crcs.set(part.number, Buffer.from(part.crc!, "base64").readUInt32BE());
  }
  try {
    const missing = wanted.filter(({ number }) => !found.has(number));
    const sendPart = async ({ number, offset, length }: (typeof wanted)[number]) => {
      const part = { file: path, stamp, key, offset, length, uploadId: id, number };
      const task = { kind: "part", ...part } as const;
      const { sums, etag } = await crew.run(task, (bytes) => progress.add(bytes));
      const { crc } = sums[0]!;
      crcs.set(number, crc);
      parts.set(number, { number, size: length, etag, crc: crcText(crc) });
    };
    await inLanes(missing, partsAtOnce, sendPart, halt);
    if (stampOf(await stat(path, { bigint: true })).changed !== stamp.changed)
      throw changedError(path);
    const crc = wanted.reduce(
      (sum, { number, length }) => combineCrc(sum, crcs.get(number)!, length),
      0,
    );
    try {
      const list = wanted.map(({ number }) => parts.get(number)!);
      const upload = { id, parts: list, crc: crcText(crc), size: stamp.size, ifAbsent };
      await s3.finishUpload(bucket, key, upload);
    } catch (error) {
      // It may have been finished, by us when the answer was lost or by somebody else.
      if (!isCode(error, "E_S3_UPLOAD_GONE") && !isCode(error, "E_S3_CHANGED")) throw error;
      const there = await s3.head(bucket, key);
      if (!(await isThere(job, there, { path, size: stamp.size }))) {
        throw isCode(error, "E_S3_CHANGED") && there !== undefined
          ? existsError(bucket, key)
          : error;
      }
      if (isCode(error, "E_S3_CHANGED")) await abandon(job, key, id);
    }
  } catch (error) {
    // The parts of anything else are kept: the same command goes on with them.
    if (isCode(error, "E_FILE_CHANGED") || isCode(error, "E_S3_EXISTS"))
      await abandon(job, key, id);
    throw error;
  }
  replaced.push(...others);
  return resumed.reduce((sum, { length }) => sum + length, 0);
}

/** The unfinished upload of this very content that has most of it, or a new one; and the others. */
async function findUpload(
  { s3, crew, bucket }: Job,
  { path, key }: Stamped,
  wanted: readonly { readonly number: number; readonly offset: number; readonly length: number }[],
): Promise<{
  readonly id: string;
  readonly found: ReadonlyMap<number, UploadedPart>;
  readonly others: readonly Unfinished[];
}> {
  const unfinished = (await s3.unfinished(bucket, key)).filter((one) => one.key === key);
  for (const { id } of unfinished) {
    const parts = await s3.parts(bucket, key, id).catch((error: unknown) => {
      if (isCode(error, "E_S3_UPLOAD_GONE")) return [];
      throw error;
    });
    const found = new Map(parts.map((part) => [part.number, part]));
    const fits = parts.every(({ number, size, crc }) => {
      return crc !== undefined && wanted[number - 1]?.length === size;
    });
    if (!fits || parts.length === 0) continue;
    const same = await inLanes(parts, bigAtOnce, async ({ number, crc }) => {
      const { offset, length } = wanted[number - 1]!;
      const task = { kind: "check", file: path, offset, length, crc64: false } as const;
      const checked = (await crew.run(task, () => {})).sums[0]!.crc;
      return checked >= 0 && crcText(checked) === crc;
    });
    if (!same.every((each) => each)) continue;
    return { id, found, others: unfinished.filter((other) => other.id !== id) };
  }
  const id = await s3.startUpload(bucket, key);
  return { id, found: new Map(), others: unfinished };
}

/** Removes the parts of an upload that nobody will finish; its failure would hide the real one. */
async function abandon({ s3, bucket }: Job, key: string, id: string): Promise<void> {
  await s3.abortUpload(bucket, key, id).catch(() => {});
}

/** Whether an object is this file, as far as S3 lets it be told. */
async function isThere(
  job: Job,
  head: ObjectHead | undefined,
  file: { readonly path: string; readonly size: number },
): Promise<boolean> {
  return head !== undefined && (await isSameContent(job, head, file)) !== false;
}

function existsError(bucket: Bucket, key: string): MoxiError {
  return new MoxiError("E_S3_EXISTS", `s3://${bucket.name}/${key} exists, with other content`, {
    hint: "nothing was replaced; remove that object, or write to another place",
  });
}
