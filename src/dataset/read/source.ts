import { open, readdir, stat } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { basename, dirname, resolve } from "node:path";
import { MoxiError, systemCode } from "../../base/errors.ts";
import { nearestName, printableName } from "../../base/format.ts";
import { compressionOf, decompress } from "./archive.ts";
import type { Compression } from "./archive.ts";

/** Where a dataset is looked for when nothing else is said. */
export const defaultDatasetPath = "data/sft/training_dataset.json";

const chunkBytes = 1024 * 1024;

/** What stat says of paths that lead nowhere; the last is a NUL in the path. */
const noSuchPath = new Set(["ENOENT", "ENOTDIR", "ELOOP", "ENAMETOOLONG", "ERR_INVALID_ARG_VALUE"]);

/** An open file of rows; its bytes are those inside, where it is a gzip or zstd archive. */
export class Source {
  /** As the user wrote it, safe to print. */
  readonly name: string;
  /** Of the file on the disk. */
  readonly bytes: number;
  readonly compression: Compression | null;
  readonly #file: FileHandle;
  readonly #changed: bigint;
  #read = 0;

  private constructor(
    name: string,
    file: FileHandle,
    { size, mtimeNs }: { readonly size: bigint; readonly mtimeNs: bigint },
    compression: Compression | null,
  ) {
    this.name = name;
    this.#file = file;
    this.bytes = Number(size);
    this.#changed = mtimeNs;
    this.compression = compression;
  }

  /**
   * Opens a file and nothing else: a FIFO or a device could keep us waiting for ever.
   *
   * @param path absolute, or from `cwd`.
   * @param shown how people know it, if not by the path.
   * @throws MoxiError E_DATASET_MISSING, E_DATASET_NOT_A_FILE, E_DATASET_EMPTY, E_PERMISSION
   */
  static async open(path: string, cwd: string, shown = path): Promise<Source> {
    const name = printableName(shown);
    const place = { file: name };
    const absolute = resolve(cwd, path);
    const kind = await statDataset(path, absolute, name);
    if (!kind.isFile()) {
      const what = kind.isDirectory() ? "a folder" : "no regular file";
      throw new MoxiError("E_DATASET_NOT_A_FILE", `the dataset ${name} is ${what}`, {
        hint: "name a file of rows",
        place,
      });
    }
    if (kind.size === 0) throw emptyDataset(name, "is empty");
    const file = await open(absolute);
    try {
      const head = Buffer.alloc(4);
      await file.read(head, 0, 4, 0);
      return new Source(name, file, await file.stat({ bigint: true }), compressionOf(head));
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** How many bytes of the file the newest reading has taken from the disk, for progress. */
  get bytesRead(): number {
    return this.#read;
  }

  /** The file's descriptor, for threads that read it themselves; null if it has to be unpacked. */
  get descriptor(): number | null {
    return this.compression === null ? this.#file.fd : null;
  }

  /** Others have read it up to here. */
  noteRead(bytes: number): void {
    this.#read = bytes;
  }

  /**
   * The bytes from `start`; each chunk is valid until the next is asked for.
   *
   * @throws MoxiError E_DATASET_ARCHIVE
   */
  async *chunks(start: number): AsyncGenerator<Buffer> {
    if (this.compression === null) return yield* this.#raw(start);
    let skip = start;
    const { name } = this;
    const unpacked = decompress(this.#raw(0), this.compression, { name, read: () => this.#read });
    for await (const chunk of unpacked) {
      if (skip < chunk.length) yield chunk.subarray(skip);
      skip = Math.max(0, skip - chunk.length);
    }
  }

  async *#raw(start: number): AsyncGenerator<Buffer> {
    const buffer = Buffer.allocUnsafe(chunkBytes);
    this.#read = start;
    for (;;) {
      const { bytesRead } = await this.#file.read(buffer, 0, chunkBytes, this.#read);
      if (bytesRead === 0) return;
      this.#read += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  }

  /** At most `length` bytes from `position`, fewer at the end. Of an archive it unpacks all before them. */
  async slice(position: number, length: number): Promise<Buffer> {
    if (this.compression === null) {
      const buffer = Buffer.alloc(length);
      const { bytesRead } = await this.#file.read(buffer, 0, length, position);
      return buffer.subarray(0, bytesRead);
    }
    const parts: Buffer[] = [];
    let missing = length;
    for await (const chunk of this.chunks(position)) {
      parts.push(Buffer.from(chunk.subarray(0, missing)));
      missing -= Math.min(missing, chunk.length);
      if (missing === 0) break;
    }
    return Buffer.concat(parts);
  }

  /** @throws MoxiError E_DATASET_CHANGED if somebody wrote to the file since it was opened. */
  async refuseChange(): Promise<void> {
    const { size, mtimeNs } = await this.#file.stat({ bigint: true });
    if (Number(size) === this.bytes && mtimeNs === this.#changed) return;
    throw new MoxiError("E_DATASET_CHANGED", `${this.name} changed while it was read`, {
      hint: "run the same command again when nothing writes to it any more",
      place: { file: this.name },
    });
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

/** @throws MoxiError E_DATASET_MISSING */
export async function statDataset(path: string, absolute: string, name: string) {
  return stat(absolute).catch(async (error: unknown) => {
    if (!noSuchPath.has(systemCode(error) ?? "")) throw error;
    throw new MoxiError("E_DATASET_MISSING", `there is no dataset at ${name}`, {
      hint: await missingHint(path, absolute),
      place: { file: name },
    });
  });
}

async function missingHint(path: string, absolute: string): Promise<string> {
  const names = await readdir(dirname(absolute)).catch(() => []);
  const near = nearestName(basename(absolute), names);
  if (near !== undefined) return `did you mean ${printableName(near)}, in the same folder?`;
  if (path !== defaultDatasetPath) return "name your file with --dataset FILE";
  return `put your rows there ([{"instruction": ..., "input": ..., "output": ...}, ...]), or name your file with --dataset FILE; in a clone of Moxi, node examples/readme-writer/build.ts makes an example`;
}

/** A dataset without a single row; `what` says in which way. */
export function emptyDataset(name: string, what: string): MoxiError {
  return new MoxiError("E_DATASET_EMPTY", `${name} ${what}`, {
    hint: 'give it rows, e.g. {"instruction": "...", "input": "...", "output": "..."}',
    place: { file: name },
  });
}
