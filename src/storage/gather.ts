import { open, rename, rm } from "node:fs/promises";
import { MoxiError } from "../base/errors.ts";
import type { Bucket, ObjectHead, ObjectInfo, S3 } from "../aws/s3.ts";
import { blocksOf, rangesAtOnce, rangesOf } from "./blocks.ts";
import type { Stretch } from "./blocks.ts";
import { agrees, comparableBytes, hasSha256, needsCrc64 } from "./checksums.ts";
import { journalOf, openGathered } from "./journal.ts";
import { inLanes } from "./lanes.ts";
import type { Halt } from "./lanes.ts";
import { checksumError, partialName } from "./mover.ts";
import type { Mover } from "./mover.ts";

export interface GatherJob {
  readonly s3: S3;
  readonly crew: Mover;
  readonly bucket: Bucket;
  readonly blockBytes: number;
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
        await rm(journalOf(partial), { force: true });
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
  const blockBytes = await comparableBytes(s3, bucket, head, job.blockBytes);
  const blocks = blocksOf(size, blockBytes);
  const crc64 = needsCrc64(head);
  const sums = await openGathered(crew, { partial, etag, size, blockBytes, crc64 }, blocks);
  const resumed = blocks.filter(({ index }) => sums.has(index));
  for (const { length } of resumed) onBytes(length);
  const missing = blocks.filter(({ index }) => !sums.has(index));
  const getRange = async (range: Stretch) => {
    const task = { kind: "range", file: partial, key, etag, ...range, blockBytes, crc64 } as const;
    const got = await crew.run(task, onBytes);
    got.sums.forEach((each, count) => sums.set(range.index + count, each));
  };
  await inLanes(rangesOf(missing), rangesAtOnce, getRange, halt);
  const inOrder = blocks.map(({ index }) => sums.get(index)!);
  const right = agrees(head, blocks, inOrder) !== false && (await hasSha256(partial, head));
  if (!right) throw checksumError(key);
  const whole = await open(partial, "r+");
  try {
    await whole.sync();
  } finally {
    await whole.close();
  }
  await rename(partial, file);
  await rm(journalOf(partial), { force: true });
  return resumed.reduce((sum, { length }) => sum + length, 0);
}
