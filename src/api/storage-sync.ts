import type { Context } from "./context.ts";
import { copyBetween } from "./storage-cp.ts";
import type { StorageResult } from "./storage-cp.ts";

/**
 * Copies what differs on the other side, by size and checksum; nothing is removed there.
 *
 * @throws MoxiError those of `storageCp`
 */
export function storageSync(
  context: Context,
  source: string,
  target: string,
): Promise<StorageResult> {
  return copyBetween(context, source, target, true);
}
