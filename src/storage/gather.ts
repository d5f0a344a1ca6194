import { constants } from "node:fs";
import { open, rm } from "node:fs/promises";
import { isCode, MoxiError } from "../base/errors.ts";
import type { Bucket, ObjectHead, ObjectInfo, S3 } from "../aws/s3.ts";
import { blocksOf, rangesAtOnce, rangesOf } from "./blocks.ts";
import type { Block, Range, Sums } from "./blocks.ts";
import { agrees, agreesInParts, comparableBytes, hasSha256, needsCrc64 } from "./checksums.ts";
import { giveName } from "./finish.ts";
import { orGone } from "./gone.ts";
import { hiddenName } from "./hidden.ts";
import { beginJournal, journalOf, readJournal } from "./journal.ts";
import type { Cut } from "./journal.ts";
import type { Leftovers } from "./leftovers.ts";
import { Halted, inLanes } from "./lanes.ts";
import type { Halt } from "./lanes.ts";
import { checksumError } from "./mover.ts";
import type { Mover } from "./mover.ts";

export interface GatherJob {
  readonly s3: S3;
  readonly crew: Mover;
  readonly bucket: Bucket;
  readonly blockBytes: number;
  readonly halt: Halt;
  readonly onBytes: (bytes: number) => void;
  readonly left: Leftovers;
  /** Of the hidden files. */
  readonly owner: string;
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
  for (let wrong = 0; ;) {
    const head = await s3.head(bucket, key);
    if (head === undefined) {
      throw new MoxiError("E_AWS_NOT_FOUND", `there is no s3://${bucket.name}/${key}`, {
        hint: "look for a mistyped name",
      });
    }
    const partial = hiddenName(file, head.etag, job.owner);
    await job.left.takeOver({ file, etag: head.etag }, partial);
    try {
      return await gather(job, head, file, partial);
    } catch (error) {
      // Another object under the same name, or wrong bytes among right ones: once more, from the start.
      if (isCode(error, "E_S3_CHECKSUM") || isCode(error, "E_S3_CHANGED")) {
        await rm(partial, { force: true });
        await rm(journalOf(partial), { force: true });
        wrong += 1;
        if (wrong < 2) continue;
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
  const cut = { partial, etag, size, blockBytes };
  const sums = await openGathered(job, cut, { blocks, crc64 });
  const resumed = blocks.filter(({ index }) => sums.has(index));
  for (const { length } of resumed) onBytes(length);
  const missing = blocks.filter(({ index }) => !sums.has(index));
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const onMore = (bytes: number) => {
    if (halt.failed) Atomics.store(stop, 0, 1);
    onBytes(bytes);
  };
  const getRange = async (range: Range) => {
    const from = { file: partial, key, etag, blockBytes, crc64, stop };
    try {
      const got = await crew.run({ kind: "range", ...from, ...range }, onMore);
      got.sums.forEach((each, count) => sums.set(range.first + count, each));
    } catch (error) {
      // Nobody wants the rest of the other ranges, which may take long.
      throw Atomics.exchange(stop, 0, 1) === 0 ? error : new Halted();
    }
  };
  await inLanes(rangesOf(missing), rangesAtOnce, getRange, halt);
  const inOrder = blocks.map(({ index }) => sums.get(index)!);
  let right = agrees(head, blocks, inOrder);
  // Parts of unequal sizes agree with no blocks. To ask for the size of each is worth it only then.
  if (right !== true) right = (await agreesInParts(job, head, partial)) ?? right;
  if (right === false || !(await hasSha256(partial, head))) throw checksumError(key);
  const whole = await open(partial, "r+").catch((error: unknown) => {
    throw orGone(partial, error);
  });
  try {
    await whole.sync();
  } finally {
    await whole.close();
  }
  giveName(partial, file);
  await rm(journalOf(partial), { force: true });
  return resumed.reduce((sum, { length }) => sum + length, 0);
}

/**
 * Makes room for an object, and finds the blocks of it that an earlier download has left, by their sums.
 * Each is read again: after a power cut the journal may know of bytes that the disk has lost.
 */
async function openGathered(
  { crew, halt }: GatherJob,
  { partial, ...cut }: Cut & { readonly partial: string },
  { blocks, crc64 }: { readonly blocks: readonly Block[]; readonly crc64: boolean },
): Promise<Map<number, Sums>> {
  const file = await open(partial, constants.O_RDWR | constants.O_CREAT).catch((error: unknown) => {
    throw orGone(partial, error);
  });
  try {
    await file.truncate(cut.size);
  } finally {
    await file.close();
  }
  const noted = await readJournal(partial, cut);
  if (noted === undefined) await beginJournal(partial, cut);
  const sums = new Map<number, Sums>();
  const known = blocks.filter(({ index }) => noted?.has(index));
  const check = async ({ index, offset, length }: Block) => {
    const task = { kind: "check", file: partial, offset, length, crc64 } as const;
    // One that cannot be read is fetched anew.
    const read = await crew.run(task, () => {}).catch(() => undefined);
    const sum = read?.sums[0];
    if (sum !== undefined && sum.crc === noted!.get(index)) sums.set(index, sum);
  };
  await inLanes(known, readAtOnce, check, halt);
  return sums;
}

const readAtOnce = 2;
