import { appendFile, mkdir, open, readFile, rename, rm, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { MoxiError } from "../base/errors.ts";
import { formatBytes, plural, printable } from "../base/format.ts";
import type { Aws } from "../aws/aws.ts";
import type { Bucket, ObjectHead, ObjectInfo, S3 } from "../aws/s3.ts";
import { agrees, comparableBytes, needsCrc64, rangesOf } from "./checksums.ts";
import type { Range, Sums } from "./checksums.ts";
import { createCrew } from "./crew.ts";
import { Halt, inLanes } from "./lanes.ts";
import { checksumError, partialName } from "./mover.ts";
import type { Mover } from "./mover.ts";
import { requireApart, safePath } from "./names.ts";
import { startProgress } from "./progress.ts";
import type { Progress } from "./progress.ts";
import type { TransferOptions } from "./upload.ts";

export interface DownloadOptions extends TransferOptions {
  readonly bucket: Bucket;
}

export interface Downloaded {
  readonly files: readonly string[];
  readonly bytes: number;
  /** Found on this machine from a download that was broken off. */
  readonly resumedBytes: number;
}

const standardRange = 16 << 20;
const largeAtOnce = 8;
const smallAtOnce = { first: 64, most: 256 };

/**
 * Every object below a prefix, each with its place in a folder. Names that are not safe are refused.
 *
 * @throws E_FILE_NAME, E_AWS_NOT_FOUND where there is no object
 */
export async function objectsBelow(
  s3: S3,
  bucket: Bucket,
  prefix: string,
  folder: string,
): Promise<(ObjectInfo & { readonly file: string })[]> {
  const listed = await s3.list(bucket, prefix);
  // Consoles make empty objects that stand for folders.
  const objects = listed.filter(({ key, size }) => !(key.endsWith("/") && size === 0));
  if (objects.length === 0) {
    const place = printable(`s3://${bucket.name}/${prefix}`);
    throw new MoxiError("E_AWS_NOT_FOUND", `there is nothing below ${place}`, {
      hint: "look for a mistyped name",
    });
  }
  const names = objects.map(({ key }) => key.slice(prefix.length));
  requireApart(names);
  return objects.map((object, index) => ({ ...object, file: safePath(folder, names[index]!) }));
}

/**
 * Fetches every object below a prefix into a folder, once all their names are found safe.
 *
 * @throws those of {@link objectsBelow} and {@link download}
 */
export async function downloadPrefix(
  aws: Aws,
  from: { readonly prefix: string; readonly folder: string },
  options: DownloadOptions,
): Promise<Downloaded> {
  const { prefix, folder } = from;
  const files = await objectsBelow(await aws.s3(), options.bucket, prefix, folder);
  return download(aws, files, options);
}

/**
 * Fetches objects into files. Each appears whole and checked against S3's CRC-32, or not at all.
 * A large one is gathered beside its place, and goes on there after a break.
 *
 * @throws E_S3_CHECKSUM, E_S3_CHANGED, E_DISK_FULL, and whatever {@link translate} makes of S3's answers
 */
export async function download(
  aws: Aws,
  objects: readonly (ObjectInfo & { readonly file: string })[],
  options: DownloadOptions,
): Promise<Downloaded> {
  const { bucket, host, clock } = options;
  const s3 = await aws.s3();
  const rangeBytes = options.partBytes ?? standardRange;
  const bytes = objects.reduce((sum, { size }) => sum + size, 0);
  const line = rangeBytes * largeAtOnce;
  // What came in parts may have a checksum that only its parts tell.
  const inParts = ({ etag, size }: ObjectInfo) => size > rangeBytes || /-\d+"?$/.test(etag);
  const small = objects.filter((object) => !inParts(object));
  const middle = objects.filter((object) => inParts(object) && object.size <= line);
  const big = objects.filter((object) => object.size > line);
  const folders = [...new Set(objects.map(({ file }) => dirname(file)))];
  for (const folder of folders) await mkdir(folder, { recursive: true });
  await requireSpace(folders[0], bytes);
  const crew = createCrew(s3.wire(bucket, options), aws.credentials, {
    // Many small files are no work for threads: each would open its own connections.
    bytes: objects.reduce((sum, { size }) => sum + (size > rangeBytes ? size : 0), 0),
    partBytes: 0,
    heldBytes: 64 << 20,
    atOnce: small.length > largeAtOnce ? smallAtOnce : { first: largeAtOnce, most: largeAtOnce },
    threads: options.threads,
  });
  const progress = startProgress({
    host,
    id: "download",
    what: options.what ?? `${plural(objects.length, "file")}`,
    totalBytes: bytes,
    now: () => clock.now().getTime(),
  });
  const halt = new Halt();
  const job: Job = { s3, crew, progress, halt, bucket, rangeBytes };
  try {
    const getSmall = ({ key, size, etag, file }: (typeof small)[number]) =>
      crew.run({ kind: "get", file, key, etag, size }, (count) => progress.add(count));
    const [some, more] = await halt.all([
      // One after another: each fills the line, and a break leaves one unfinished file.
      inLanes(big, 1, (object) => getLarge(job, object), halt),
      inLanes(middle, largeAtOnce, (object) => getLarge(job, object), halt),
      inLanes(small, 2 * smallAtOnce.most, getSmall, halt),
    ]);
    const resumedBytes = [...some, ...more].reduce((sum, each) => sum + each, 0);
    for (const folder of folders) await syncFolder(folder);
    progress.done(`${formatBytes(bytes)} fetched from s3://${bucket.name}`);
    return { files: objects.map(({ file }) => file), bytes, resumedBytes };
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
  readonly rangeBytes: number;
}

async function getLarge(job: Job, object: ObjectInfo & { readonly file: string }): Promise<number> {
  const { s3, bucket } = job;
  const { key, file } = object;
  for (let attempt = 1; ; attempt++) {
    const head = await s3.head(bucket, key);
    if (head === undefined) {
      throw new MoxiError("E_AWS_NOT_FOUND", `there is no s3://${bucket.name}/${key}`, {
        hint: "look for a mistyped name",
      });
    }
    const partial = partialName(file, head.etag);
    try {
      return await gather(job, head, file, partial);
    } catch (error) {
      const code = error instanceof MoxiError ? error.code : undefined;
      // Another object under the same name, or wrong bytes among right ones: once more, from the start.
      if (code === "E_S3_CHECKSUM" || code === "E_S3_CHANGED") {
        await rm(partial, { force: true });
        await rm(`${partial}.done`, { force: true });
        if (attempt < 2) continue;
      }
      throw error;
    }
  }
}

async function gather(job: Job, head: ObjectHead, file: string, partial: string): Promise<number> {
  const { s3, crew, progress, bucket, halt } = job;
  const { key, size, etag } = head;
  const rangeBytes = await comparableBytes(s3, bucket, head, job.rangeBytes);
  const ranges = rangesOf(size, rangeBytes);
  const crc64 = needsCrc64(head);
  const sums = await readDone(job, { partial, etag, size, rangeBytes, crc64 }, ranges);
  const resumed = ranges.filter(({ index }) => sums.has(index));
  for (const { length } of resumed) progress.add(length);
  const missing = ranges.filter(({ index }) => !sums.has(index));
  const getRange = async ({ index, offset, length }: Range) => {
    const task = { kind: "range", file: partial, key, etag, offset, length, crc64 } as const;
    const got = await crew.run(task, (count) => progress.add(count));
    sums.set(index, got);
    await appendFile(`${partial}.done`, `${JSON.stringify([index, got.crc])}\n`);
  };
  await inLanes(missing, largeAtOnce, getRange, halt);
  const inOrder = ranges.map(({ index }) => sums.get(index)!);
  if (agrees(head, ranges, inOrder) === false) throw checksumError(key);
  const whole = await open(partial, "r+");
  try {
    await whole.sync();
  } finally {
    await whole.close();
  }
  await rename(partial, file);
  await rm(`${partial}.done`, { force: true });
  return resumed.reduce((sum, { length }) => sum + length, 0);
}

/**
 * The ranges that an earlier download has left, by their sums. Each is read again: after a power
 * cut the list may know of bytes that the disk has lost.
 */
async function readDone(
  { crew }: Job,
  from: {
    readonly partial: string;
    readonly etag: string;
    readonly size: number;
    readonly rangeBytes: number;
    readonly crc64: boolean;
  },
  ranges: readonly Range[],
): Promise<Map<number, Sums>> {
  const { partial, etag, size, rangeBytes, crc64 } = from;
  const list = `${partial}.done`;
  const title = JSON.stringify({ etag, size, rangeBytes });
  const [first, ...lines] = (await readFile(list, "utf8").catch(() => "")).split("\n");
  const sums = new Map<number, Sums>();
  if (first === title) {
    await inLanes(lines, 2, async (line) => {
      const [index, crc] = parsed(line);
      const range = ranges[index];
      if (range === undefined) return;
      const { offset, length } = range;
      const task = { kind: "check", file: partial, offset, length, crc64 } as const;
      const checked = await crew.run(task, () => {}).catch(() => ({ crc: -1 }));
      if (checked.crc === crc) sums.set(index, checked);
    });
  }
  if (sums.size > 0) return sums;
  const file = await open(partial, "w");
  try {
    await file.truncate(size);
  } finally {
    await file.close();
  }
  const done = await open(list, "w");
  try {
    await done.writeFile(`${title}\n`);
  } finally {
    await done.close();
  }
  return sums;
}

/** A line that a kill has cut short counts for nothing. */
function parsed(line: string): readonly [index: number, crc: number] {
  try {
    const value: unknown = JSON.parse(line);
    if (Array.isArray(value) && value.length === 2) return [Number(value[0]), Number(value[1])];
  } catch {
    // Not whole.
  }
  return [-1, -1];
}

async function requireSpace(folder: string | undefined, bytes: number): Promise<void> {
  if (folder === undefined) return;
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  if (free >= bytes) return;
  throw new MoxiError(
    "E_DISK_FULL",
    `${folder} has ${formatBytes(free)} free, and ${formatBytes(bytes)} are to be fetched`,
    { hint: "free some space, then run the same command again", place: { file: folder } },
  );
}

/** A rename is lost with the power unless its folder was written too. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } catch {
    // Some file systems cannot; the files themselves are written.
  } finally {
    await handle.close();
  }
}
