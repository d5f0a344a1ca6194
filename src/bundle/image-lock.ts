import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { MoxiError } from "../base/errors.ts";
import { isRecord } from "../base/json.ts";

/** One wheel of an image's lock: this very file, no other build of the same version. */
export interface LockedWheel {
  readonly name: string;
  readonly version: string;
  readonly file: string;
  readonly sha256: string;
  /** Bytes. */
  readonly size: number;
}

/** What is laid over an image's own packages: `trainer/locks/<image>.json`. */
export interface ImageLock {
  readonly formatVersion: 1;
  /** The image's tag. */
  readonly image: string;
  /** The image's Python, "3.12". */
  readonly python: string;
  /** The torch that the image holds; it is not among the wheels. */
  readonly torch: string;
  /** Wheel tags that the image's system takes, the newest first: "manylinux_2_28_x86_64". */
  readonly platforms: readonly string[];
  readonly wheels: readonly LockedWheel[];
}

/** A wheel's name, without anything that could lead out of a folder. */
const wheelFile = /^[A-Za-z0-9_.]+-[A-Za-z0-9_.!+]+(?:-\d\w*)?-[\w.]+-[\w.]+-[\w.]+\.whl$/;

/** The lock of an image by its tag; undefined for an image that Moxi knows nothing of. */
export async function findImageLock(locks: string, tag: string): Promise<ImageLock | undefined> {
  const file = join(locks, `${tag}.json`);
  // A tag is letters, digits, ".", "_" and "-": it cannot lead out of the folder.
  if (!/^[\w.-]+$/.test(tag) || !existsSync(file)) return undefined;
  return readImageLock(file);
}

/** Reads an image's lock; `E_INTERNAL` if it is damaged or Moxi was packed without it. */
export async function readImageLock(file: string): Promise<ImageLock> {
  const broken = (why: string, cause?: unknown) =>
    new MoxiError("E_INTERNAL", `the lock file ${file} is damaged: ${why}`, {
      hint: "install Moxi again, or run `git checkout trainer/locks` in a clone",
      place: { file },
      cause,
    });
  let lock: unknown;
  try {
    lock = JSON.parse(await readFile(file, "utf8"));
  } catch (error) {
    throw broken("it cannot be read", error);
  }
  if (!isRecord(lock) || lock["formatVersion"] !== 1 || !Array.isArray(lock["wheels"])) {
    throw broken("it is no lock of an image");
  }
  for (const wheel of lock["wheels"] as unknown[]) {
    const sound =
      isRecord(wheel) &&
      typeof wheel["name"] === "string" &&
      typeof wheel["version"] === "string" &&
      wheelFile.test(String(wheel["file"])) &&
      /^[0-9a-f]{64}$/.test(String(wheel["sha256"])) &&
      Number.isSafeInteger(wheel["size"]);
    if (!sound) throw broken(`${JSON.stringify(wheel)} is no wheel`);
  }
  return lock as unknown as ImageLock;
}
