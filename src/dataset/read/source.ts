import { open, readdir, stat } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { basename, dirname, resolve } from "node:path";
import { MoxiError, systemCode } from "../../base/errors.ts";
import { nearestName, printable } from "../../base/format.ts";

/** Where a dataset is looked for when nothing else is said. */
export const defaultDatasetPath = "data/sft/training_dataset.json";

const chunkBytes = 256 * 1024;

/** What stat says of paths that lead nowhere; the last is a NUL in the path. */
const noSuchPath = new Set(["ENOENT", "ENOTDIR", "ELOOP", "ENAMETOOLONG", "ERR_INVALID_ARG_VALUE"]);

/** An open file of rows. */
export class Source {
  /** As the user wrote it, safe to print. */
  readonly name: string;
  readonly bytes: number;
  readonly #file: FileHandle;
  readonly #changed: bigint;

  private constructor(name: string, file: FileHandle, bytes: bigint, changed: bigint) {
    this.name = name;
    this.#file = file;
    this.bytes = Number(bytes);
    this.#changed = changed;
  }

  /**
   * Opens a file and nothing else: a FIFO or a device could keep us waiting for ever.
   *
   * @param path absolute, or from `cwd`.
   * @throws MoxiError E_DATASET_MISSING, E_DATASET_NOT_A_FILE, E_DATASET_EMPTY, E_PERMISSION
   */
  static async open(path: string, cwd: string): Promise<Source> {
    const name = printable(path);
    const place = { file: name };
    const absolute = resolve(cwd, path);
    const kind = await stat(absolute).catch(async (error: unknown) => {
      if (!noSuchPath.has(systemCode(error) ?? "")) throw error;
      throw new MoxiError("E_DATASET_MISSING", `there is no dataset at ${name}`, {
        hint: await missingHint(path, absolute),
        place,
      });
    });
    if (!kind.isFile()) {
      const what = kind.isDirectory() ? "a folder" : "no regular file";
      throw new MoxiError("E_DATASET_NOT_A_FILE", `the dataset ${name} is ${what}`, {
        hint: "name one .json or .jsonl file",
        place,
      });
    }
    if (kind.size === 0) throw emptyDataset(name, "is empty");
    const file = await open(absolute);
    const { size, mtimeNs } = await file.stat({ bigint: true });
    return new Source(name, file, size, mtimeNs);
  }

  /** The file's bytes from `start`; each chunk is valid until the next is asked for. */
  async *chunks(start: number): AsyncGenerator<Buffer> {
    const buffer = Buffer.allocUnsafe(chunkBytes);
    for (let position = start; ;) {
      const { bytesRead } = await this.#file.read(buffer, 0, chunkBytes, position);
      if (bytesRead === 0) return;
      position += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  }

  /** At most `length` bytes from `position`, fewer at the end of the file. */
  async slice(position: number, length: number): Promise<Buffer> {
    const buffer = Buffer.alloc(length);
    const { bytesRead } = await this.#file.read(buffer, 0, length, position);
    return buffer.subarray(0, bytesRead);
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

async function missingHint(path: string, absolute: string): Promise<string> {
  const names = await readdir(dirname(absolute)).catch(() => []);
  const near = nearestName(basename(absolute), names);
  if (near !== undefined) return `did you mean ${printable(near)}, in the same folder?`;
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
