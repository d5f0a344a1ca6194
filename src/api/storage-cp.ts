import { findProject } from "../config/find.ts";
import { readEnvironment } from "../config/environment.ts";
import type { Copied } from "../storage/copied.ts";
import type { Context } from "./context.ts";

export interface StorageResult extends Copied {
  readonly formatVersion: 1;
}

/**
 * Copies a file or a folder to S3 or from there. What was broken off goes on where it stopped.
 *
 * @throws MoxiError E_USAGE for places that are none; what S3 answers
 */
export function storageCp(
  context: Context,
  source: string,
  target: string,
): Promise<StorageResult> {
  return copyBetween(context, source, target, false);
}

/** For `storageCp` and `storageSync`: neither asks the config, whose loading takes longer than a small copy. */
export async function copyBetween(
  context: Context,
  source: string,
  target: string,
  onlyChanged: boolean,
): Promise<StorageResult> {
  const { cwd, home, host, clock } = context;
  const [{ openAws }, { copy, sameSide }, { parsePlace }] = await Promise.all([
    import("../aws/aws.ts"),
    import("../storage/copy.ts"),
    import("../storage/place.ts"),
  ]);
  const [from, to] = [source, target].map((text) => parsePlace(text, cwd, home));
  // Before the account is asked for.
  if (from!.kind === to!.kind) throw sameSide(from!);
  const env = readEnvironment(findProject(cwd).folder, context.env).toObject();
  const aws = await openAws({ env, home, host });
  try {
    const done = await copy(aws, from!, to!, { host, clock, onlyChanged });
    return { formatVersion: 1, ...done };
  } finally {
    aws.close();
  }
}
