import { MoxiError, systemCode } from "../base/errors.ts";

/** Does something with a hidden file. @throws E_FILE_CHANGED where it is not there any more */
export function unlessGone<T>(file: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw orGone(file, error);
  }
}

/** What was thrown for a hidden file, as E_FILE_CHANGED where it is not there any more. */
export function orGone(file: string, error: unknown): unknown {
  if (systemCode(error) !== "ENOENT") return error;
  return new MoxiError("E_FILE_CHANGED", "another program removed the file while it was fetched", {
    hint: "see that nothing cleans up this folder meanwhile, then run the same command again",
    place: { file },
    cause: error,
  });
}
