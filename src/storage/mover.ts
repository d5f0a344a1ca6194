import { hash } from "node:crypto";
import * as fs from "node:fs";
import { promisify } from "node:util";
import { isMainThread } from "node:worker_threads";
import { crc32 } from "node:zlib";
import { MoxiError } from "../base/errors.ts";
import { stampOf } from "../base/stamp.ts";
import type { Stamp } from "../base/stamp.ts";
import { crcText, Wire } from "../aws/wire.ts";
import type { ReadResult, WireCredentials, WireTarget } from "../aws/wire.ts";
import { BlockSums } from "./blocks.ts";
import type { Sums } from "./blocks.ts";
import { ofParts } from "./checksums.ts";
import { crc64, crc64Text } from "./crc64.ts";
import { discard, Finisher } from "./finish.ts";
import { unlessGone } from "./gone.ts";
import { noteBlocks } from "./journal.ts";
import { Halted } from "./lanes.ts";
import { Turns } from "./turns.ts";
import type { TurnsOptions } from "./turns.ts";

/** One request with its file work. Plain data: a worker thread gets a copy. */
export type Task =
  | { kind: "put"; file: string; stamp: Stamp; key: string; ifAbsent: boolean }
  | {
      kind: "part";
      file: string;
      stamp: Stamp;
      key: string;
      offset: number;
      length: number;
      uploadId: string;
      number: number;
    }
  | { kind: "check"; file: string; offset: number; length: number; crc64: boolean }
  /**
   * Blocks from the `first` on, each noted when it has come. Ends early where `stop` becomes 1, which
   * all threads share.
   */
  | {
      kind: "range";
      file: string;
      key: string;
      etag: string;
      first: number;
      offset: number;
      length: number;
      blockBytes: number;
      crc64: boolean;
      stop: Int32Array<SharedArrayBuffer>;
    }
  /** Gathered in `partial`, then called `file`: the same while it has to stay hidden. */
  | { kind: "get"; partial: string; file: string; key: string; etag: string; size: number };

export interface Moved {
  /** Of each block of a range; one of anything else. */
  readonly sums: readonly Sums[];
  readonly etag: string;
}

export interface Mover {
  run(task: Task, onBytes: (bytes: number) => void): Promise<Moved>;
  close(): void;
}

const write = promisify(fs.write);

export interface MoverOptions extends Pick<TurnsOptions, "atOnce" | "heldBytes"> {
  /** Of the largest part. */
  readonly partBytes: number;
  /** Whether small files that still wait for their turn are wanted no more; not told to other threads. */
  readonly isOver?: () => boolean;
}

/**
 * Does tasks in the thread that it is made in. Files are read, and small
 * ones written, synchronously: a page cache answers faster than a thread pool. Buffers for parts are
 * made when first needed and used again.
 */
export function createMover(
  target: WireTarget,
  credentials: WireCredentials,
  options: MoverOptions,
): Mover {
  const { atOnce, partBytes, heldBytes, isOver } = options;
  const wire = new Wire(target, credentials, { connections: atOnce.most });
  const turns = new Turns({ atOnce, heldBytes });
  const finisher = new Finisher();
  const buffers: Buffer[] = [];

  const withBytes = async <T>(
    task: Task & { kind: "put" | "part" },
    use: (bytes: Buffer) => Promise<T>,
  ): Promise<T> => {
    const [offset, length] =
      task.kind === "put" ? [0, task.stamp.size] : [task.offset, task.length];
    // A small file would waste a part's buffer.
    const pooled = task.kind === "part";
    const buffer = pooled
      ? (buffers.pop() ?? Buffer.allocUnsafeSlow(partBytes))
      : Buffer.allocUnsafe(length);
    try {
      readWhole(task.file, task.stamp, buffer.subarray(0, length), offset);
      return await use(buffer.subarray(0, length));
    } finally {
      if (pooled) buffers.push(buffer);
    }
  };

  const run = async (
    task: Exclude<Task, { kind: "get" }>,
    onBytes: (bytes: number) => void,
  ): Promise<Moved> => {
    switch (task.kind) {
      case "put":
        return withBytes(task, async (bytes) => {
          const { key, ifAbsent } = task;
          const { crc } = await wire.put(key, bytes, { ifAbsent, onSent: onBytes });
          return { sums: [{ crc }], etag: "" };
        });
      case "part":
        return withBytes(task, async (body) => {
          const { key, uploadId, number } = task;
          const { crc, etag } = await wire.putPart(key, { uploadId, number, body }, onBytes);
          return { sums: [{ crc }], etag };
        });
      case "check":
        return { sums: [sumsOf(task)], etag: "" };
      case "range": {
        stopHere(task);
        const file = unlessGone(task.file, () => fs.openSync(task.file, "r+"));
        try {
          return await getRange(wire, task, file, onBytes);
        } finally {
          fs.closeSync(file);
        }
      }
    }
  };

  /** Reads a small object into a file that is whole and checked, or not there at all. */
  const get = async (
    task: Task & { kind: "get" },
    onBytes: (bytes: number) => void,
  ): Promise<Moved> => {
    const { key, etag, size, partial, file } = task;
    const held = heldBy(task);
    const turn = turns.enter(held);
    const began = typeof turn === "number" ? turn : await turn;
    const range = { offset: 0, length: size, whole: true };
    let descriptor = -1;
    let crc = 0;
    const onData = (piece: Buffer, at: number) => {
      writeAll(descriptor, piece, at);
      crc = crc32(piece, at === 0 ? 0 : crc);
      onBytes(piece.length);
    };
    let read: ReadResult;
    try {
      if (isOver?.() === true) throw new Halted();
      descriptor = unlessGone(partial, () => fs.openSync(partial, "wx"));
      for (let attempt = 1; ; attempt++) {
        read = await wire.get(key, range, etag, onData);
        if (isStored(read, crc, { file: partial, size })) break;
        if (attempt === 3) throw checksumError(key);
      }
    } catch (error) {
      if (descriptor >= 0) {
        fs.closeSync(descriptor);
        discard(partial);
      }
      throw error;
    } finally {
      // With the last byte: the next one need not wait for the disk.
      turns.leave(held, began);
    }
    await finisher.finish({ descriptor, partial, file });
    return { sums: [{ crc }], etag: read.etag };
  };

  return {
    run: (task, onBytes) =>
      task.kind === "get" ? get(task, onBytes) : turns.run(heldBy(task), () => run(task, onBytes)),
    close: () => wire.close(),
  };
}

/** What a connection reads into before it is written. */
const piecesBytes = 2 << 20;

/** About how many bytes of memory a task needs. */
function heldBy(task: Task): number {
  if (task.kind === "put") return task.stamp.size;
  if (task.kind === "part") return task.length;
  return task.kind === "get" ? Math.min(task.size, piecesBytes) : piecesBytes;
}

async function getRange(
  wire: Wire,
  task: Task & { kind: "range" },
  file: number,
  onBytes: (bytes: number) => void,
): Promise<Moved> {
  const { key, etag, first, offset, length } = task;
  const range = { offset, length, whole: false };
  const counted = new BlockSums(task);
  const read = await wire.get(key, range, etag, (piece, at) => {
    const whole = counted.take(piece, at);
    if (whole.length > 0) {
      stopHere(task);
      // Before the last of it is written: after a break every block is read again before it counts. At
      // once, also on the main thread: it is a line in a file that the page cache holds.
      noteBlocks(task.file, first + counted.sums.length - whole.length, whole);
    }
    onBytes(piece.length);
    return writePiece(file, piece, offset + at);
  });
  return { sums: counted.sums, etag: read.etag };
}

function stopHere({ stop }: Task & { kind: "range" }): void {
  if (Atomics.load(stop, 0) === 1) throw new Halted();
}

function isStored(
  { stored }: ReadResult,
  crc: number,
  { file, size }: { readonly file: string; readonly size: number },
): boolean {
  if (stored.crc !== undefined) return ofParts(stored.crc) || stored.crc === crcText(crc);
  if (stored.crc64 !== undefined) {
    const sums = sumsOf({ kind: "check", file, offset: 0, length: size, crc64: true });
    return stored.crc64 === crc64Text(sums.crc64!);
  }
  if (stored.sha256 === undefined || ofParts(stored.sha256)) return true;
  return stored.sha256 === hash("sha256", fs.readFileSync(file), "base64");
}

export function checksumError(key: string): MoxiError {
  return new MoxiError("E_S3_CHECKSUM", `what arrived of ${key} is not what S3 has`, {
    hint: "bytes were changed on the way, by a proxy or bad memory: run the same command again",
  });
}

export function changedError(file: string): MoxiError {
  return new MoxiError("E_FILE_CHANGED", "the file was changed while it was sent", {
    hint: "wait until nothing writes to it, then run the same command again",
    place: { file },
  });
}

function readWhole(file: string, stamp: Stamp, into: Buffer, offset: number): void {
  const descriptor = fs.openSync(file, "r");
  try {
    let at = 0;
    while (at < into.length) {
      const read = fs.readSync(descriptor, into, at, into.length - at, offset + at);
      if (read === 0) throw changedError(file);
      at += read;
    }
    // After the reading: what was read before a change is whole.
    const now = stampOf(fs.fstatSync(descriptor, { bigint: true }));
    if (now.size !== stamp.size || now.changed !== stamp.changed) throw changedError(file);
  } finally {
    fs.closeSync(descriptor);
  }
}

/** What a stretch of a file sums up to; -1 where the file is shorter. */
function sumsOf({ file, offset, length, crc64: wanted }: Task & { kind: "check" }): Sums {
  const descriptor = fs.openSync(file, "r");
  try {
    const buffer = Buffer.allocUnsafe(Math.min(length, 1 << 20));
    let crc = 0;
    let sum = 0n;
    for (let at = 0; at < length;) {
      const read = fs.readSync(
        descriptor,
        buffer,
        0,
        Math.min(buffer.length, length - at),
        offset + at,
      );
      if (read === 0) return { crc: -1, crc64: 0n };
      crc = crc32(buffer.subarray(0, read), crc);
      if (wanted) sum = crc64(buffer.subarray(0, read), sum);
      at += read;
    }
    return { crc, crc64: wanted ? sum : undefined };
  } finally {
    fs.closeSync(descriptor);
  }
}

function writeAll(descriptor: number, bytes: Buffer, offset: number): void {
  for (let at = 0; at < bytes.length;) {
    at += fs.writeSync(descriptor, bytes, at, bytes.length - at, offset + at);
  }
}

/**
 * Beside the main thread, which must not wait for a disk, one of Node's own writes. A thread of ours
 * writes itself: handing on takes longer than a page cache.
 */
function writePiece(descriptor: number, bytes: Buffer, offset: number): void | Promise<void> {
  if (isMainThread) return writeMeanwhile(descriptor, bytes, offset);
  writeAll(descriptor, bytes, offset);
}

async function writeMeanwhile(descriptor: number, bytes: Buffer, offset: number): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    const { bytesWritten } = await write(descriptor, bytes, at, bytes.length - at, offset + at);
    at += bytesWritten;
  }
}
