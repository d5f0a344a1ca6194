import { MoxiError } from "../base/errors.ts";
import { formatBytes, plural, printable } from "../base/format.ts";
import { tellWait } from "../base/waiting.ts";
import type { Aws } from "../aws/aws.ts";
import type { Bucket, ObjectInfo, S3 } from "../aws/s3.ts";
import { rangesAtOnce } from "./blocks.ts";
import { createCrew } from "./crew.ts";
import { gatherObject } from "./gather.ts";
import { createOwner, hiddenName, isHidden } from "./hidden.ts";
import { Folders, inTheWay, requireSpace, Unnamed } from "./landing.ts";
import { Halt, inLanes, startLanes } from "./lanes.ts";
import { NamesApart, safePath } from "./names.ts";
import { startProgress } from "./progress.ts";
import type { Progress } from "./progress.ts";
import type { TransferOptions } from "./upload.ts";

export interface DownloadOptions extends TransferOptions {
  readonly bucket: Bucket;
}

/** An object and the file that it becomes. */
export type Fetched = ObjectInfo & { readonly file: string };

export interface Downloaded {
  readonly files: readonly string[];
  readonly bytes: number;
  /** Found on this machine from a download that was broken off. */
  readonly resumedBytes: number;
}

/** What a break costs of each request under way, at most. */
const standardBlock = 16 << 20;
const heldBytes = 64 << 20;
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
): Promise<Fetched[]> {
  const found: Fetched[] = [];
  for await (const page of pagesBelow(s3, bucket, prefix, folder)) found.push(...page);
  return found;
}

async function* pagesBelow(
  s3: S3,
  bucket: Bucket,
  prefix: string,
  folder: string,
): AsyncGenerator<Fetched[]> {
  const apart = new NamesApart();
  let found = 0;
  for await (const listed of s3.listPages(bucket, prefix)) {
    // Consoles make empty objects that stand for folders.
    const isMarker = ({ key, size }: ObjectInfo) => key.endsWith("/") && size === 0;
    const objects = listed.filter((each) => !isMarker(each) && !isHidden(each.key));
    found += objects.length;
    yield objects.map((object) => {
      const name = object.key.slice(prefix.length);
      apart.add(name);
      return { ...object, file: safePath(folder, name) };
    });
  }
  if (found > 0) return;
  const place = printable(`s3://${bucket.name}/${prefix}`);
  throw new MoxiError("E_AWS_NOT_FOUND", `there is nothing below ${place}`, {
    hint: "look for a mistyped name",
  });
}

/**
 * Fetches every object below a prefix into a folder. The first are fetched while the rest is listed,
 * and none gets its name before all names are found safe.
 *
 * @throws those of {@link objectsBelow} and {@link download}
 */
export async function downloadPrefix(
  aws: Aws,
  from: { readonly prefix: string; readonly folder: string },
  options: DownloadOptions,
): Promise<Downloaded> {
  const { prefix, folder } = from;
  const pages = pagesBelow(await aws.s3(), options.bucket, prefix, folder);
  return fetchAll(aws, { pages, listed: `s3://${options.bucket.name}/${prefix}` }, options);
}

/**
 * Fetches objects into files. Each appears whole and checked against S3's CRC-32, or not at all.
 * A large one is gathered beside its place, and goes on there after a break.
 *
 * @throws E_S3_CHECKSUM, E_S3_CHANGED, E_DISK_FULL, E_USAGE where something lies in the way, and whatever {@link translate} makes of S3's answers
 */
export function download(
  aws: Aws,
  objects: readonly Fetched[],
  options: DownloadOptions,
): Promise<Downloaded> {
  return fetchAll(aws, { pages: [objects] }, options);
}

interface Found {
  readonly pages: Iterable<readonly Fetched[]> | AsyncIterable<readonly Fetched[]>;
  /** The place that has yet to be listed; otherwise all names are known, and safe. */
  readonly listed?: string;
}

async function fetchAll(
  aws: Aws,
  { pages, listed }: Found,
  options: DownloadOptions,
): Promise<Downloaded> {
  const { bucket, host, clock, threads } = options;
  const s3 = await aws.s3();
  const wire = s3.wire(bucket, options);
  const blockBytes = options.partBytes ?? standardBlock;
  const line = blockBytes * rangesAtOnce;
  // What came in parts may have a checksum that only its parts tell.
  const inParts = ({ etag, size }: ObjectInfo) => size > blockBytes || /-\d+"?$/.test(etag);

  const all: Fetched[] = [];
  let bytes = 0;
  let moved = 0;
  /** What earlier downloads have left on the disk. */
  let held = 0;
  let progress: Progress | undefined;
  const now = () => clock.now().getTime();
  const since = now();
  const onBytes = (count: number) => {
    moved += count;
    progress?.add(count);
  };
  const folders = new Folders();
  const owner = await createOwner();
  const unnamed = new Unnamed(listed === undefined);
  const halt = new Halt();
  const crew = { partBytes: 0, heldBytes, threads };
  // Many small files are no work for threads: each would open its own connections.
  const few = createCrew(wire, aws.credentials, {
    ...crew,
    bytes: 0,
    atOnce: smallAtOnce,
    isOver: () => halt.failed || small.failed,
  });
  const small = startLanes(
    2 * smallAtOnce.most,
    async ({ key, size, etag, file }: Fetched) => {
      const partial = hiddenName(file, etag, owner.name);
      const place = unnamed.placeOf(partial, file);
      await few.run({ kind: "get", partial, file: place, key, etag, size }, onBytes);
      unnamed.add(partial, place, file);
    },
    halt,
  );

  const findAll = async () => {
    for await (const page of pages) {
      for (const object of page) {
        all.push(object);
        bytes += object.size;
      }
      await folders.make(page);
      await folders.left.tidy(page.map((object) => ({ ...object, isLarge: inParts(object) })));
      for (const object of page.filter(inParts)) {
        held += Math.min(object.size, await folders.left.heldBy(object));
      }
      await requireSpace(folders.first, bytes - moved - held);
      small.add(page.filter((object) => !inParts(object)));
      if (small.failed) return;
    }
    unnamed.nameAll();
  };

  const fetchRest = async () => {
    progress = startProgress({
      host,
      id: "download",
      what: options.what ?? `${plural(all.length, "file")}`,
      totalBytes: bytes,
      now,
      since,
    });
    progress.add(moved);
    const large = all.filter(inParts);
    const many = createCrew(wire, aws.credentials, {
      ...crew,
      bytes: large.reduce((sum, { size }) => sum + size, 0),
      atOnce: { first: rangesAtOnce, most: rangesAtOnce },
    });
    const job = {
      s3,
      crew: many,
      bucket,
      blockBytes,
      halt,
      onBytes,
      left: folders.left,
      owner: owner.name,
    };
    const gather = (object: Fetched) => gatherObject(job, object);
    const big = large.filter(({ size }) => size > line);
    const middle = large.filter(({ size }) => size <= line);
    try {
      return await halt.all([
        // One after another: each fills the line, and a break leaves one unfinished file.
        inLanes(big, 1, gather, halt),
        inLanes(middle, rangesAtOnce, gather, halt),
        small.end(),
      ]);
    } finally {
      many.close();
    }
  };

  try {
    const finding = findAll();
    // Each page may take a moment only, and all of them minutes.
    const told = listed === undefined ? finding : tellWait(host, `AWS: list ${listed}`, finding);
    await halt.all([told]);
    // Here it is told what failed.
    if (small.failed) await small.end();
    const [some, more] = await fetchRest();
    const resumedBytes = [...some, ...more].reduce((sum, each) => sum + each, 0);
    await folders.sync();
    progress!.done(`${formatBytes(bytes)} fetched from s3://${bucket.name}`);
    return { files: all.map(({ file }) => file), bytes, resumedBytes };
  } catch (error) {
    // Nothing goes on behind an error's back.
    await small.end().catch(() => {});
    await unnamed.removeAll();
    await folders.removeMade();
    throw inTheWay(error);
  } finally {
    owner.release();
    few.close();
  }
}
