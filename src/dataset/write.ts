import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";

const bufferedCharacters = 256 * 1024;

/** Writes lines to a new file and hashes them on the way. */
export class LineWriter {
  readonly path: string;
  rows = 0;
  readonly #file: FileHandle;
  readonly #hash = createHash("sha256");
  #lines: string[] = [];
  #characters = 0;

  private constructor(path: string, file: FileHandle) {
    this.path = path;
    this.#file = file;
  }

  static async create(path: string): Promise<LineWriter> {
    return new LineWriter(path, await open(path, "wx"));
  }

  async write(line: string): Promise<void> {
    this.rows += 1;
    this.#characters += line.length + 1;
    this.#lines.push(line, "\n");
    if (this.#characters >= bufferedCharacters) await this.#flush();
  }

  /** Makes the file durable; returns its SHA-256 in hex. */
  async finish(): Promise<string> {
    await this.#flush();
    await this.#file.sync();
    return this.#hash.digest("hex");
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  async #flush(): Promise<void> {
    const bytes = Buffer.from(this.#lines.join(""));
    this.#lines = [];
    this.#characters = 0;
    this.#hash.update(bytes);
    await this.#file.writeFile(bytes);
  }
}
