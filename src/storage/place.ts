import { MoxiError } from "../base/errors.ts";
import { printable } from "../base/format.ts";
import { resolvePath } from "../base/paths.ts";

/** One side of a copy. */
export type StoragePlace =
  | { readonly kind: "local"; readonly path: string; readonly isFolder: boolean }
  | { readonly kind: "s3"; readonly bucket: string; readonly key: string };

/**
 * Reads "s3://BUCKET/KEY" or a path. A slash at the end says that a folder is meant.
 *
 * @throws E_USAGE for an address that is none
 */
export function parsePlace(text: string, cwd: string, home: string): StoragePlace {
  if (!/^s3:/i.test(text)) {
    if (text !== "" && !text.includes("\0")) {
      return { kind: "local", path: resolvePath(text, cwd, home), isFolder: /[/\\]$/.test(text) };
    }
    throw new MoxiError("E_USAGE", "an empty text names no place", {
      hint: "write a path, or s3://BUCKET/KEY",
    });
  }
  const match = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/(.*))?$/s.exec(text);
  if (match === null) {
    throw new MoxiError("E_USAGE", `${printable(text).replace(/\s/g, " ")} is no such address`, {
      hint: "write s3://BUCKET/KEY; a bucket's name has 3 to 63 small letters, digits, dots and dashes",
    });
  }
  return { kind: "s3", bucket: match[1]!, key: match[2] ?? "" };
}
