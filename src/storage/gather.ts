import { appendFile, open, readFile, rename, rm } from "node:fs/promises";
import { MoxiError } from "../base/errors.ts";
import type { Bucket, ObjectHead, ObjectInfo, S3 } from "../aws/s3.ts";
import { agrees, comparableBytes, hasSha256, needsCrc64, rangesOf } from "./checksums.ts";
import type { Range, Sums } from "./checksums.ts";
import { inLanes } from "./lanes.ts";
import type { Halt } from "./lanes.ts";
import { checksumError, partialName } from "./mover.ts";
import type { Mover } from "./mover.ts";

/** So many ranges at once fill the line. */
export const rangesAtOnce = 8;

export interface GatherJob {
  readonly s3: S3;
  readonly crew: Mover;
  readonly bucket: Bucket;
  readonly rangeBytes: number;
  readonly halt: Halt;
  readonly onBytes: (bytes: number) => void;
}

/**
 * Fetches a large object in ranges, gathered beside its place, where a later download goes on after a
 * break. Returns how many bytes an earlier one had left.
 *
 * @throws E_S3_CHECKSUM, E_S3_CHANGED, E_AWS_NOT_FOUND, and whatever {@link translate} makes of S3's answers
 */
export async function gatherObject(
  job: GatherJob,
  object: ObjectInfo & { readonly file: string },
): Promise<number> {
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

async function gather(
  job: GatherJob,
  head: ObjectHead,
  file: string,
  partial: string,
): Promise<number> {
  const { s3, crew, onBytes, bucket, halt } = job;
  const { key, size, etag } = head;
  const rangeBytes = await comparableBytes(s3, bucket, head, job.rangeBytes);
  const ranges = rangesOf(size, rangeBytes);
  const crc64 = needsCrc64(head);
  const sums = await readDone(job, { partial, etag, size, rangeBytes, crc64 }, ranges);
  const resumed = ranges.filter(({ index }) => sums.has(index));
  for (const { length } of resumed) onBytes(length);
  const missing = ranges.filter(({ index }) => !sums.has(index));
  const getRange = async ({ index, offset, length }: Range) => {
    const task = { kind: "range", file: partial, key, etag, offset, length, crc64 } as const;
    const got = await crew.run(task, onBytes);
    sums.set(index, got);
    await appendFile(`${partial}.done`, `${JSON.stringify([index, got.crc])}\n`);
  };
  await inLanes(missing, rangesAtOnce, getRange, halt);
  const inOrder = ranges.map(({ index }) => sums.get(index)!);
  const right = agrees(head, ranges, inOrder) !== false && (await hasSha256(partial, head));
  if (!right) throw checksumError(key);
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
  { crew }: GatherJob,
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
