import { isCode, MoxiError, systemCode } from "../base/errors.ts";

// Two downloads of one version to one place share their hidden files. What one of them has put in its
// place, or given up on, is gone for the other, which looks there and then begins again.

/** So often it begins again: each time the other one has got farther. */
export const mostGone = 5;

export function goneError(file: string): MoxiError {
  return new MoxiError("E_FILE_CHANGED", "another program moved the file while it was fetched", {
    hint: "wait until no other download to this folder runs, then run the same command again",
    place: { file },
  });
}

export function isGone(error: unknown): boolean {
  return isCode(error, "E_FILE_CHANGED");
}

/** What was thrown for a file, as {@link goneError} where the file is not there. */
export function orGone(file: string, error: unknown): unknown {
  return systemCode(error) === "ENOENT" ? goneError(file) : error;
}

/** Does something with a file. @throws {@link goneError} where it is not there */
export function unlessGone<T>(file: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw orGone(file, error);
  }
}

/** Tells a file from every other, also from a later one of the same name. */
export function identityOf({ dev, ino }: { readonly dev: bigint; readonly ino: bigint }): string {
  return `${dev}:${ino}`;
}
