import type { ErrorCode } from "../base/errors.ts";

/** One thing that was looked at before anything starts. */
export interface Check {
  /** What a failed check ends the command with. */
  readonly code?: ErrorCode;
  readonly name: string;
  /** `warning` also where it could not be found out: unknown is never ok. */
  readonly result: "ok" | "warning" | "failed";
  readonly message: string;
  /** Who mends it and how, or the page where a person does. */
  readonly hint?: string;
  /** The command that mends it, typed as it is written. */
  readonly command?: string;
}
