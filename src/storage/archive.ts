import { randomBytes } from "node:crypto";
import { mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { pipeline, Readable } from "node:stream";
import { ReadableStream } from "node:stream/web";
import { createGunzip } from "node:zlib";
import { createTarDecoder } from "modern-tar";
import type { ParsedTarEntry } from "modern-tar";
import { isMoxiError, MoxiError, systemCode } from "../base/errors.ts";
import { formatBytes, formatCount, printable } from "../base/format.ts";
import { ArchiveNames } from "./archive-names.ts";

export interface ArchiveLimits {
  /** Unpacked bytes, headers included. */
  readonly bytes: number;
  /** Files and folders. */
  readonly entries: number;
  /** Unpacked bytes for each packed one, once 64 MiB are unpacked. Weights pack at most 10 times. */
  readonly ratio: number;
}

export const archiveLimits: ArchiveLimits = { bytes: 2e12, entries: 100_000, ratio: 200 };

/** Text packs well in small amounts; a bomb is large. */
const ratioFrom = 64 * 1024 * 1024;

export interface ExtractOptions {
  /** What the archive is called in errors. */
  readonly name: string;
  readonly limits?: Partial<ArchiveLimits>;
  readonly signal?: AbortSignal | undefined;
  /** Called as files are written, with the unpacked bytes so far. */
  readonly onBytes?: (bytes: number) => void;
}

/** What an archive held. */
export interface Extracted {
  /** Paths below the folder, with "/", in the archive's order. */
  readonly files: readonly string[];
  readonly bytes: number;
}

/**
 * Unpacks a tar, gzipped or not, into a folder that is not there yet or is empty: whole or not at
 * all. The archive is taken to be hostile: it may hold plain files and folders below its top,
 * nothing else; its owners, modes and times are left aside.
 *
 * @throws E_ARCHIVE for an archive that is broken, cut off, too large, or holds links, devices or
 *   names that lead elsewhere; E_S3_EXISTS where the folder holds something; E_INTERRUPTED
 */
export async function extractArchive(
  source: AsyncIterable<Uint8Array>,
  folder: string,
  options: ExtractOptions,
): Promise<Extracted> {
  const refuse = refuser(options.name);
  if ((await entriesOf(folder)).length > 0) throw occupied(folder);
  await mkdir(dirname(folder), { recursive: true });
  const draft = join(
    dirname(folder),
    `.${basename(folder).slice(0, 200)}.${randomBytes(4).toString("hex")}.tmp`,
  );
  await mkdir(draft);
  try {
    const extracted = await extractInto(draft, source, options);
    await rename(draft, folder).catch((error: unknown) => {
      const code = systemCode(error);
      throw code === "ENOTEMPTY" || code === "EEXIST" ? occupied(folder) : error;
    });
    await syncFolder(dirname(folder));
    return extracted;
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    // The disk's and the network's own errors ("ENOSPC"), not the decoders' ("Z_DATA_ERROR").
    if (isMoxiError(error) || /^E[A-Z\d]+$/.test(systemCode(error) ?? "")) throw error;
    throw refuse("is broken or cut off", error);
  }
}

async function extractInto(
  draft: string,
  source: AsyncIterable<Uint8Array>,
  options: ExtractOptions,
): Promise<Extracted> {
  const refuse = refuser(options.name);
  const limits = { ...archiveLimits, ...options.limits };
  const names = new ArchiveNames((what) => refuse(what));
  const files: string[] = [];
  const folders = new Set([draft]);
  let bytes = 0;
  let entries = 0;
  const makeFolder = async (path: string) => {
    if (path === draft || folders.has(path)) return;
    await makeFolder(dirname(path));
    await mkdir(path, { recursive: true });
    folders.add(path);
  };
  const archive = ReadableStream.from(unpacked(source, limits, options)).pipeThrough(
    createTarDecoder({ strict: true }),
  ) as ReadableStream<ParsedTarEntry>;
  for await (const { header, body } of archive) {
    entries += 1;
    if (entries > limits.entries) {
      throw refuse(`holds more than ${formatCount(limits.entries)} files and folders`);
    }
    const type = header.type ?? "file";
    const path = names.accept(header.name, type);
    if (Object.keys(header.pax ?? {}).some((key) => key.startsWith("GNU.sparse"))) {
      throw refuse(`holds a file with holes, ${quoted(path)}`);
    }
    if (type === "directory") {
      if (path !== "") await makeFolder(join(draft, path));
      await body.cancel();
      continue;
    }
    await makeFolder(dirname(join(draft, path)));
    // "wx": whatever got there in spite of the checks above is not written through.
    const file = await open(join(draft, path), "wx", 0o644);
    try {
      for await (const chunk of body) {
        await file.writeFile(chunk);
        bytes += chunk.length;
        options.onBytes?.(bytes);
      }
      await file.sync();
    } finally {
      await file.close();
    }
    files.push(path);
  }
  for (const path of folders) await syncFolder(path);
  return { files, bytes };
}

/** The tar's own bytes, counted against the limits before anything looks at them. */
async function* unpacked(
  source: AsyncIterable<Uint8Array>,
  limits: ArchiveLimits,
  { name, signal }: ExtractOptions,
): AsyncGenerator<Uint8Array> {
  const refuse = refuser(name);
  let packed = 0;
  let written = 0;
  const input = async function* () {
    for await (const chunk of source) {
      packed += chunk.length;
      // A copy: a reader may use its buffer again before the unpacker has looked at it.
      yield Uint8Array.from(chunk);
    }
  };
  const { stream, compressed } = await openStream(input());
  try {
    for await (const chunk of stream as AsyncIterable<Uint8Array>) {
      if (signal?.aborted) throw interrupted(name);
      written += chunk.length;
      if (written > limits.bytes) throw refuse(`holds more than ${formatBytes(limits.bytes)}`);
      if (compressed && written > ratioFrom && written > limits.ratio * packed) {
        const size = `${formatBytes(written)} from ${formatBytes(packed)}, so far`;
        throw refuse(`expands more than ${limits.ratio} times (${size})`);
      }
      yield chunk;
    }
  } finally {
    stream.destroy();
  }
}

/** Unpacks what starts like gzip, passes on everything else. */
async function openStream(input: AsyncGenerator<Uint8Array>) {
  let head = Buffer.alloc(0);
  while (head.length < 2) {
    const { done, value } = await input.next();
    if (done) break;
    head = Buffer.concat([head, value]);
  }
  const all = async function* (): AsyncGenerator<Uint8Array> {
    yield head;
    yield* input;
  };
  const packed = Readable.from(all());
  if (head[0] !== 0x1f || head[1] !== 0x8b) return { stream: packed, compressed: false };
  const gunzip = createGunzip({ chunkSize: 256 * 1024 });
  return { stream: pipeline(packed, gunzip, () => {}), compressed: true };
}

async function entriesOf(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (systemCode(error) === "ENOENT") return [];
    if (systemCode(error) === "ENOTDIR") throw occupied(folder);
    throw error;
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function quoted(path: string): string {
  return `"${printable(path).slice(0, 200)}"`;
}

function refuser(name: string) {
  return (what: string, cause?: unknown) =>
    new MoxiError("E_ARCHIVE", `the archive ${printable(name)} ${what}; nothing was unpacked`, {
      hint: "fetch it again; if it stays so, do not trust who made it",
      cause,
    });
}

function occupied(folder: string): MoxiError {
  return new MoxiError("E_S3_EXISTS", `${printable(folder)} is there already`, {
    hint: "name another folder, or remove this one",
    place: { file: folder },
  });
}

function interrupted(name: string): MoxiError {
  return new MoxiError("E_INTERRUPTED", `stopped while unpacking ${printable(name)}`);
}
