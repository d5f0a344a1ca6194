/** Who has to act: the user, we (a bug), or a cloud or network service. */
export type ErrorSource = "user" | "moxi" | "cloud";

interface ErrorKind {
  readonly exitCode: number;
  readonly source: ErrorSource;
}

const user = (exitCode: number): ErrorKind => ({ exitCode, source: "user" });
const cloud = (exitCode: number): ErrorKind => ({ exitCode, source: "cloud" });

/**
 * Every error that Moxi can report, in one table. Exit codes: 1 failed, 2 usage or config,
 * 3 dataset, 4 credentials or permissions, 5 quota or capacity, 6 budget, 7 gate not met,
 * 8 transient, 130 interrupted.
 */
export const errorKinds = {
  E_USAGE: user(2),
  E_CONFIG_INVALID: user(2),
  E_CONFIG_UNREADABLE: user(2),
  E_CONFIG_AMBIGUOUS: user(2),
  E_TARGET_UNAVAILABLE: user(2),
  E_RUN_NOT_FOUND: user(2),
  E_RUN_FOLDER: user(2),
  E_RUN_ID_TAKEN: user(2),
  E_RUN_STATE: user(2),
  E_PLAN: user(2),
  E_MODEL_NOT_FOUND: user(2),
  E_MODEL_UNSUPPORTED: user(2),
  E_DATASET_MISSING: user(2),
  E_DATASET_NOT_A_FILE: user(2),
  E_DATASET_EMPTY: user(3),
  E_DATASET_ARCHIVE: user(3),
  E_DATASET_ENCODING: user(3),
  E_DATASET_SYNTAX: user(3),
  E_DATASET_ROWS: user(3),
  E_DATASET_TOO_SMALL: user(3),
  E_DATASET_CHANGED: user(3),
  E_MODEL_GATED: user(4),
  E_MODEL_TOKEN: user(4),
  E_PERMISSION: user(4),
  E_MACHINE_BUSY: user(5),
  E_BUDGET: user(6),
  E_AWS_SETTINGS: user(2),
  E_AWS_REGION: user(2),
  E_AWS_NOT_FOUND: user(2),
  E_AWS_CREDENTIALS: user(4),
  E_AWS_EXPIRED: user(4),
  E_AWS_DENIED: user(4),
  E_AWS_ROLE: user(4),
  E_AWS_CLOCK: user(4),
  E_AWS_QUOTA: cloud(5),
  E_AWS_CAPACITY: cloud(5),
  E_AWS_THROTTLED: cloud(8),
  E_AWS_UNAVAILABLE: cloud(8),
  E_AWS_REFUSED: { exitCode: 1, source: "moxi" },
  E_S3_BUCKET: user(2),
  E_S3_EXISTS: user(1),
  E_S3_CHANGED: cloud(8),
  E_S3_CHECKSUM: cloud(8),
  E_S3_UPLOAD_GONE: cloud(8),
  E_NETWORK: cloud(8),
  E_TLS: user(2),
  E_FILE_CHANGED: user(1),
  E_FILE_NAME: user(2),
  E_ARCHIVE: cloud(1),
  E_BUNDLE: user(2),
  E_BUNDLE_SECRET: user(2),
  E_WHEEL_INDEX: user(2),
  E_WHEEL: cloud(1),
  E_PYTHON_MISSING: user(1),
  E_PYTHON_VENV: user(1),
  E_PYTHON_INSTALL: user(1),
  E_DISK_FULL: user(1),
  E_RUN_FAILED: user(1),
  E_MERGE: user(1),
  E_SMOKE: user(1),
  E_INTERRUPTED: user(130),
  E_INTERNAL: { exitCode: 1, source: "moxi" },
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof errorKinds;

/** Where in the user's input the trouble is. Lines, columns and rows count from 1. */
export interface Place {
  readonly file?: string;
  readonly line?: number;
  readonly column?: number;
  readonly row?: number;
  readonly field?: string;
}

/** What is wrong and what mends it. */
export interface Problem {
  readonly message: string;
  readonly hint?: string;
  readonly command?: string;
}

export interface MoxiErrorOptions {
  /** The command or edit that mends it, in words. */
  readonly hint?: string;
  /** A command that mends it as it is written: never broken into lines. */
  readonly command?: string;
  /** Other problems, found in the same look: to be mended too. */
  readonly others?: readonly Problem[];
  readonly place?: Place;
  /** More of the same kind, where one command finds several (bad rows, wrong keys). */
  readonly details?: readonly string[];
  readonly cause?: unknown;
}

const marker: unique symbol = Symbol.for("moxi.error");

/** The one error class: what happened, where, why, and what mends it. */
export class MoxiError extends Error {
  override readonly name: string = "MoxiError";
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly command: string | undefined;
  readonly others: readonly Problem[];
  readonly place: Place | undefined;
  readonly details: readonly string[];
  /** Lets {@link isMoxiError} work across two copies of this package. */
  readonly [marker]: true = true;

  constructor(code: ErrorCode, message: string, options: MoxiErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
    this.command = options.command;
    this.others = options.others ?? [];
    this.place = options.place;
    this.details = options.details ?? [];
  }

  get exitCode(): number {
    return errorKinds[this.code].exitCode;
  }

  get source(): ErrorSource {
    return errorKinds[this.code].source;
  }

  /** The form that `--json` prints. */
  toJSON(): ErrorJson {
    return {
      code: this.code,
      message: this.message,
      source: this.source,
      exitCode: this.exitCode,
      ...(this.hint === undefined ? {} : { hint: this.hint }),
      ...(this.command === undefined ? {} : { command: this.command }),
      ...(this.others.length === 0 ? {} : { others: this.others }),
      ...(this.place === undefined ? {} : { place: this.place }),
      ...(this.details.length === 0 ? {} : { details: this.details }),
    };
  }
}

export interface ErrorJson {
  readonly code: ErrorCode;
  readonly message: string;
  readonly source: ErrorSource;
  readonly exitCode: number;
  readonly hint?: string;
  readonly command?: string;
  readonly others?: readonly Problem[];
  readonly place?: Place;
  readonly details?: readonly string[];
}

/** The error again after its JSON has crossed between threads. */
export function fromErrorJson({
  code,
  message,
  source: _s,
  exitCode: _e,
  ...options
}: ErrorJson): MoxiError {
  return new MoxiError(code, message, options);
}

export function isMoxiError(error: unknown): error is MoxiError {
  return typeof error === "object" && error !== null && marker in error;
}

export function isCode(error: unknown, code: ErrorCode): boolean {
  return isMoxiError(error) && error.code === code;
}

/** Node's error code ("ENOENT", "ENOSPC" ...), if the error carries one. */
export function systemCode(error: unknown): string | undefined {
  if (typeof error !== "object" || error === null || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}

/** Turns whatever was thrown into a MoxiError; what we do not know is reported as our bug. */
export function toMoxiError(error: unknown): MoxiError {
  if (isMoxiError(error)) return error;
  const message = error instanceof Error ? error.message : String(error);
  const path =
    typeof error === "object" && error !== null && "path" in error && typeof error.path === "string"
      ? error.path
      : undefined;
  const place = path === undefined ? {} : { place: { file: path } };
  switch (systemCode(error)) {
    case "ENOSPC":
    case "EDQUOT":
      return new MoxiError(
        "E_DISK_FULL",
        `no space left on the disk${path === undefined ? "" : ` that holds ${path}`}`,
        {
          hint: "free some space (df -h shows how much is left), then run the same command again",
          cause: error,
          ...place,
        },
      );
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return new MoxiError("E_PERMISSION", message, {
        hint: "check who owns this path and whether it may be read and written",
        cause: error,
        ...place,
      });
    default:
      return new MoxiError("E_INTERNAL", message, {
        hint: "this is a bug in Moxi; MOXI_DEBUG=1 shows the stack trace",
        cause: error,
      });
  }
}
