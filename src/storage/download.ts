import { appendFile, mkdir, open, readFile, rename, rm, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { MoxiError } from "../base/errors.ts";
import { formatBytes, formatCount } from "../base/format.ts";
import type { Aws } from "../aws/aws.ts";
import type { Bucket, ObjectHead, ObjectInfo, S3 } from "../aws/s3.ts";
import { crcText } from "../aws/wire.ts";
import { combineCrc } from "./crc.ts";
import { createCrew } from "./crew.ts";
import { checksumError, partialName } from "./mover.ts";
import type { Mover } from "./mover.ts";
import { requireApart, safePath } from "./names.ts";
import { startProgress } from "./progress.ts";
import type { Progress } from "./progress.ts";
import { compositeCrc } from "./upload.ts";
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
const smallAtOnce = 64;

/**
 * Fetches every object below a prefix into a folder. Names that are not safe are refused before
 * anything is written.
 *
 * @throws E_FILE_NAME, E_AWS_NOT_FOUND where there is no object, and those of {@link download}
 */
export async function downloadPrefix(
  aws: Aws,
  from: { readonly prefix: string; readonly folder: string },
  options: DownloadOptions,
): Promise<Downloaded> {
  const { prefix, folder } = from;
  const s3 = await aws.s3();
  const listed = await s3.list(options.bucket, prefix);
  // Consoles make empty objects that stand for folders.
  const objects = listed.filter(({ key, size }) => !(key.endsWith("/") && size === 0));
  if (objects.length === 0) {
    throw new MoxiError(
      "E_AWS_NOT_FOUND",
      `there is nothing below s3://${options.bucket.name}/${prefix}`,
      {
        hint: "look for a mistyped name",
      },
    );
  }
  const names = objects.map(({ key }) => key.slice(prefix.length));
  requireApart(names);
  const files = objects.map((object, index) => ({
    ...object,
    file: safePath(folder, names[index]!),
  }));
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
  const large = objects.some(({ size }) => size > rangeBytes);
  const folders = [...new Set(objects.map(({ file }) => dirname(file)))];
  for (const folder of folders) await mkdir(folder, { recursive: true });
  await requireSpace(folders[0], bytes);
  const crew = createCrew(s3.wire(bucket, options), aws.credentials, {
    // Many small files are no work for threads: each would open its own connections.
    bytes: objects.reduce((sum, { size }) => sum + (size > rangeBytes ? size : 0), 0),
    partBytes: 0,
    // It decrypts while another of Node's own writes.
    coresEach: 2,
    connections: large ? largeAtOnce : smallAtOnce,
    threads: options.threads,
  });
  const progress = startProgress({
    host,
    id: "download",
    what:
      options.what ?? `${formatCount(objects.length)} ${objects.length === 1 ? "file" : "files"}`,
    totalBytes: bytes,
    now: () => clock.now().getTime(),
  });
  const job: Job = { s3, crew, progress, bucket, rangeBytes };
  try {
    let resumedBytes = 0;
    const small = objects.filter(({ size }) => size <= rangeBytes);
    await Promise.all([
      inTurn(small, smallAtOnce * 2, async ({ key, size, etag, file }) => {
        await crew.run({ kind: "get", file, key, etag, size }, (count) => progress.add(count));
      }),
      // One after another: each fills the line, and a break leaves one unfinished file.
      inTurn(
        objects.filter(({ size }) => size > rangeBytes),
        1,
        async (object) => {
          resumedBytes += await getLarge(job, object);
        },
      ),
    ]);
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
  readonly bucket: Bucket;
  readonly rangeBytes: number;
}

/** So many at once, in order; after a failure no more are started, and those that run are waited for. */
async function inTurn<T>(
  items: readonly T[],
  atOnce: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  let next = 0;
  const failures: unknown[] = [];
  const lane = async () => {
    while (next < items.length && failures.length === 0) {
      const item = items[next]!;
      next += 1;
      await work(item).catch((error: unknown) => failures.push(error));
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, lane));
  if (failures.length > 0) throw failures[0];
}

interface Range {
  readonly index: number;
  readonly offset: number;
  readonly length: number;
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
  const { s3, crew, progress, bucket } = job;
  const { key, size, etag } = head;
  const composite = head.crc?.includes("-") === true;
  const rangeBytes = composite ? await s3.partBytes(bucket, key) : job.rangeBytes;
  const ranges: Range[] = Array.from({ length: Math.ceil(size / rangeBytes) }, (_, index) => ({
    index,
    offset: index * rangeBytes,
    length: Math.min(rangeBytes, size - index * rangeBytes),
  }));
  const crcs = await readDone(job, { partial, etag, size, rangeBytes }, ranges);
  const resumed = ranges.filter(({ index }) => crcs.has(index));
  for (const { length } of resumed) progress.add(length);
  await inTurn(
    ranges.filter(({ index }) => !crcs.has(index)),
    largeAtOnce,
    async ({ index, offset, length }) => {
      const task = { kind: "range", file: partial, key, etag, offset, length } as const;
      const { crc } = await crew.run(task, (count) => progress.add(count));
      crcs.set(index, crc);
      await appendFile(`${partial}.done`, `${JSON.stringify([index, crc])}\n`);
    },
  );
  const inOrder = ranges.map(({ index }) => crcs.get(index)!);
  if (head.crc !== undefined && !matches(head.crc, inOrder, ranges)) throw checksumError(key);
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

/** Compares with S3's CRC-32: of the whole, or of the CRCs of its parts where ours are cut as those. */
function matches(stored: string, crcs: readonly number[], ranges: readonly Range[]): boolean {
  const [value, count] = stored.split("-");
  if (count === undefined) {
    const crc = crcs.reduce((sum, each, index) => combineCrc(sum, each, ranges[index]!.length), 0);
    return value === crcText(crc);
  }
  // Parts of unequal sizes cannot be compared; length and ETag are all there is.
  return Number(count) !== crcs.length || value === crcText(compositeCrc(crcs));
}

/**
 * The ranges that an earlier download has left, by their CRC-32. Each is read again: after a power
 * cut the list may know of bytes that the disk has lost.
 */
async function readDone(
  { crew }: Job,
  from: {
    readonly partial: string;
    readonly etag: string;
    readonly size: number;
    readonly rangeBytes: number;
  },
  ranges: readonly Range[],
): Promise<Map<number, number>> {
  const { partial, etag, size, rangeBytes } = from;
  const list = `${partial}.done`;
  const title = JSON.stringify({ etag, size, rangeBytes });
  const [first, ...lines] = (await readFile(list, "utf8").catch(() => "")).split("\n");
  const crcs = new Map<number, number>();
  if (first === title) {
    await inTurn(lines, 2, async (line) => {
      const [index, crc] = parsed(line);
      const range = ranges[index];
      if (range === undefined) return;
      const { offset, length } = range;
      const task = { kind: "check", file: partial, offset, length } as const;
      const checked = await crew.run(task, () => {}).catch(() => ({ crc: -1 }));
      if (checked.crc === crc) crcs.set(index, crc);
    });
  }
  if (crcs.size > 0) return crcs;
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
  return crcs;
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
