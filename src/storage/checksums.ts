import { isCode } from "../base/errors.ts";
import { sha256OfFile } from "../base/file-hash.ts";
import type { Bucket, ObjectHead, S3 } from "../aws/s3.ts";
import { crcText } from "../aws/wire.ts";
import { blocksOf } from "./blocks.ts";
import type { Block, Sums } from "./blocks.ts";
import { combineCrc, compositeCrc } from "./crc.ts";
import { combineCrc64, crc64Text } from "./crc64.ts";
import { inLanes } from "./lanes.ts";
import type { Mover } from "./mover.ts";

/** S3 takes no more for one object. */
const mostParts = 10_000;
const askedAtOnce = 16;

/** How long blocks have to be so that an object's checksum can be compared: as its parts, perhaps. */
export async function comparableBytes(
  s3: S3,
  bucket: Bucket,
  head: ObjectHead,
  standard: number,
): Promise<number> {
  if (head.crc === undefined || !ofParts(head.crc)) return standard;
  const first = await partBytes({ s3, bucket }, head, 1);
  // Who does not know parts may answer with the size of the whole.
  const isPart = first < head.size || head.crc.endsWith("-1");
  return isPart && first * mostParts >= head.size ? first : standard;
}

/** The size of a part; 0 where it is not told: not every service that is like S3 knows parts. */
function partBytes(
  { s3, bucket }: { readonly s3: S3; readonly bucket: Bucket },
  head: ObjectHead,
  number: number,
): Promise<number> {
  return s3.partBytes(bucket, head, number).catch((error: unknown) => {
    if (isCode(error, "E_AWS_REFUSED")) return 0;
    throw error;
  });
}

/** Whether a checksum is that of an object's parts, as "...-n" tells, and not of its bytes. */
export function ofParts(checksum: string): boolean {
  return checksum.includes("-");
}

/** Whether a file has the SHA-256 that S3 keeps; also where it keeps none of the whole. */
export async function hasSha256(path: string, { sha256 }: ObjectHead): Promise<boolean> {
  if (sha256 === undefined || ofParts(sha256)) return true;
  return (await sha256OfFile(path)) === Buffer.from(sha256, "base64").toString("hex");
}

/** Only the slower of the two checksums is there. */
export function needsCrc64({ crc, crc64 }: ObjectHead): boolean {
  return crc === undefined && crc64 !== undefined;
}

/**
 * Whether blocks make up an object; undefined where S3 keeps nothing that can be compared. For an object
 * in parts of unequal sizes they seem not to, even where they do: see {@link agreesInParts}.
 */
export function agrees(
  { crc, crc64 }: ObjectHead,
  blocks: readonly Block[],
  sums: readonly Sums[],
): boolean | undefined {
  const lengthOf = (index: number) => blocks[index]!.length;
  if (crc !== undefined) {
    const [value, count] = crc.split("-");
    if (count === undefined) {
      return (
        value ===
        crcText(sums.reduce((sum, each, index) => combineCrc(sum, each.crc, lengthOf(index)), 0))
      );
    }
    if (Number(count) !== sums.length) return undefined;
    return value === crcText(compositeCrc(sums.map((each) => each.crc)));
  }
  if (crc64 === undefined) return undefined;
  const whole = sums.reduce(
    (sum, each, index) => combineCrc64(sum, each.crc64!, lengthOf(index)),
    0n,
  );
  return crc64 === crc64Text(whole);
}

/**
 * Whether a file holds what an object holds, by size and checksum; undefined where the size is the
 * same and S3 keeps no checksum that can be compared.
 */
export async function isSameContent(
  at: { readonly s3: S3; readonly crew: Mover; readonly bucket: Bucket },
  head: ObjectHead,
  file: { readonly path: string; readonly size: number },
): Promise<boolean | undefined> {
  if (head.size !== file.size) return false;
  if (head.crc === undefined && head.crc64 === undefined) return undefined;
  const blockBytes = await comparableBytes(at.s3, at.bucket, head, checkedBytes);
  const blocks = blocksOf(file.size, blockBytes);
  const crc64 = needsCrc64(head);
  const sums = await inLanes(blocks, checkedAtOnce, async ({ offset, length }) => {
    const task = { kind: "check", file: file.path, offset, length, crc64 } as const;
    return (await at.crew.run(task, () => {})).sums[0]!;
  });
  return agrees(head, blocks, sums);
}

/**
 * Whether a file holds an object by the checksum of the object's parts, each of the size that it has;
 * undefined where S3 keeps no such checksum, or the sizes cannot be told. The file is read once more.
 */
export async function agreesInParts(
  at: { readonly s3: S3; readonly crew: Mover; readonly bucket: Bucket },
  head: ObjectHead,
  file: string,
): Promise<boolean | undefined> {
  const { size, crc } = head;
  if (crc === undefined || !ofParts(crc)) return undefined;
  const [value, count] = crc.split("-");
  const numbers = Array.from(
    { length: Math.min(mostParts, Number(count)) },
    (_, index) => index + 1,
  );
  const lengths = await inLanes(numbers, askedAtOnce, (number) => partBytes(at, head, number));
  let end = 0;
  const parts = lengths.map((length) => ({ length, offset: (end += length) - length }));
  if (end !== size) return undefined;
  const sums = await inLanes(parts, checkedAtOnce, async (part) => {
    const task = { kind: "check", file, ...part, crc64: false } as const;
    return (await at.crew.run(task, () => {})).sums[0]!.crc;
  });
  return value === crcText(compositeCrc(sums));
}

const checkedBytes = 16 << 20;
const checkedAtOnce = 4;
