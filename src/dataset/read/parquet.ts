import { parquetMetadataAsync, parquetReadObjects } from "hyparquet";
import type { AsyncBuffer, Compressors } from "hyparquet";
import { compressors } from "hyparquet-compressors";
import { MoxiError } from "../../base/errors.ts";
import { formatBytes, printable } from "../../base/format.ts";
import type { RawRow } from "./rows.ts";
import type { Source } from "./source.ts";

/** A page or a row group beyond these was not made to be read in little memory. */
const maxPageBytes = 32 * 1024 * 1024;
const maxGroupBytes = 1024 * 1024 * 1024;
const sliceBytes = 8 * 1024 * 1024;

/** Refuses pages that unpack to more than a page has. */
const bounded: Compressors = Object.fromEntries(
  Object.entries(compressors).map(([name, unpack]) => [
    name,
    (input: Uint8Array, length: number) => {
      if (length > maxPageBytes) throw new Error(`a page of ${formatBytes(length)}`);
      return unpack!(input, length);
    },
  ]),
);

/**
 * The rows of a Parquet file, a slice of a row group at a time. Whole numbers of 64 bits become
 * numbers where they are exact, and text where not; times become ISO text.
 *
 * @throws MoxiError E_DATASET_SYNTAX
 */
export async function* readParquet(source: Source): AsyncGenerator<RawRow[]> {
  if (source.compression !== null) {
    throw broken(
      source,
      "is a Parquet file in an archive",
      "unpack it: Parquet packs its pages itself",
    );
  }
  const file: AsyncBuffer = {
    byteLength: source.bytes,
    async slice(start, end = source.bytes) {
      if (start < 0 || end > source.bytes || start > end)
        throw new Error("a place outside the file");
      if (end - start > maxGroupBytes) throw new Error(`a part of ${formatBytes(end - start)}`);
      const bytes = await source.slice(start, end - start);
      return new Uint8Array(bytes).buffer;
    },
  };
  try {
    const metadata = await parquetMetadataAsync(file);
    let done = 0;
    for (const group of metadata.row_groups) {
      const rows = Number(group.num_rows);
      const bytes = Number(group.total_byte_size);
      if (bytes > maxGroupBytes) throw new Error(`a row group of ${formatBytes(bytes)}`);
      const step = Math.max(1, Math.floor(rows / Math.max(1, Math.ceil(bytes / sliceBytes))));
      for (let start = done; start < done + rows; start += step) {
        const range = { rowStart: start, rowEnd: Math.min(start + step, done + rows) };
        const found = await parquetReadObjects({
          file,
          metadata,
          compressors: bounded,
          useOffsetIndex: true,
          ...range,
        });
        yield found.map((value, index) => {
          const row = start + index + 1;
          return { value: plain(value), row, line: row };
        });
      }
      done += rows;
    }
  } catch (error) {
    if (error instanceof MoxiError) throw error;
    const why = error instanceof Error ? printable(error.message.slice(0, 200)) : "";
    throw broken(source, `is no sound Parquet file: ${why}`, "write it again", error);
  }
}

function broken({ name }: Source, what: string, hint: string, cause?: unknown): MoxiError {
  return new MoxiError("E_DATASET_SYNTAX", `${name} ${what}`, {
    hint,
    cause,
    place: { file: name },
  });
}

/** A value as JSON has it. */
function plain(value: unknown): unknown {
  if (typeof value === "bigint") {
    return BigInt.asIntN(53, value) === value ? Number(value) : String(value);
  }
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (ArrayBuffer.isView(value)) return Array.from(value as Uint8Array);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  const copy: Record<string, unknown> = {};
  for (const [key, item] of Object.entries(value)) {
    if (key === "__proto__") continue;
    // A struct column gives every row every field: an absent one is null.
    copy[key] = plain(item);
  }
  return copy;
}
