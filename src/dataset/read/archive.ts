import { pipeline } from "node:stream";
import { Readable } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { MoxiError } from "../../base/errors.ts";
import { formatBytes } from "../../base/format.ts";

export type Compression = "gzip" | "zstd";

/** What the first bytes of a file give away, whatever its name says. */
export function compressionOf(head: Uint8Array): Compression | null {
  if (head[0] === 0x1f && head[1] === 0x8b) return "gzip";
  if (head[0] === 0x28 && head[1] === 0xb5 && head[2] === 0x2f && head[3] === 0xfd) return "zstd";
  return null;
}

/** Text packs 3 to 20 times, templated text up to 100: beyond these two it is made to fill memory. */
const bombRatio = 200;
const bombBytes = 64 * 1024 * 1024;

/**
 * Unpacks a stream.
 *
 * @param read tells how many packed bytes have been read, for progress and against archives that
 * expand without end.
 * @throws MoxiError E_DATASET_ARCHIVE: broken, cut off, expands without end, or an archive of an archive
 */
export async function* decompress(
  packed: AsyncIterable<Buffer>,
  compression: Compression,
  { name, read }: { readonly name: string; readonly read: () => number },
): AsyncGenerator<Buffer> {
  const options = { chunkSize: 256 * 1024 };
  const unpack = compression === "gzip" ? createGunzip(options) : createZstdDecompress(options);
  // Copies: the reader uses its buffer again before the unpacker has looked at it.
  const copies = async function* () {
    for await (const chunk of packed) yield Buffer.from(chunk);
  };
  const stream = pipeline(Readable.from(copies()), unpack, () => {});
  let written = 0;
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      if (written === 0 && compressionOf(chunk) !== null) {
        throw refused(name, "is an archive of an archive", "unpack it once, then name the result");
      }
      written += chunk.length;
      if (written > bombBytes && written > bombRatio * read()) {
        const size = `${formatBytes(written)} from ${formatBytes(read())}`;
        throw refused(
          name,
          `expands more than ${bombRatio} times (${size}, so far)`,
          "do not trust it",
        );
      }
      yield chunk;
    }
  } catch (error) {
    if (error instanceof MoxiError) throw error;
    throw refused(name, `is a broken or cut off ${compression} archive`, "pack it again", error);
  } finally {
    unpack.destroy();
  }
}

function refused(name: string, what: string, hint: string, cause?: unknown): MoxiError {
  return new MoxiError("E_DATASET_ARCHIVE", `${name} ${what}`, {
    hint,
    place: { file: name },
    cause,
  });
}
