import { join } from "node:path";
import { formatBytes } from "../../base/format.ts";
import { findImageLock } from "../../bundle/image-lock.ts";
import type { Check } from "../../run/check.ts";
import type { CloudSettings } from "../../run/plan.ts";
import { imageTags } from "./images.ts";

/** What the training program and the supervisor import, besides what these bring. */
const needed = ["transformers", "trl", "peft", "accelerate", "datasets", "boto3"];

/**
 * Whether a job brings its packages along. Over an image that Moxi has no lock for it installs
 * nothing: versions that were never resolved for it would fail on paid time, or worse, not fail.
 *
 * @param trainerFolder holds locks/
 */
export async function checkPackages(
  { image, imageTag }: CloudSettings,
  trainerFolder: string,
): Promise<Check> {
  const name = "packages";
  const locks = join(trainerFolder, "locks");
  const lock = await findImageLock(locks, imageTag);
  if (lock !== undefined) {
    const bytes = lock.wheels.reduce((sum, { size }) => sum + size, 0);
    const message = `${lock.wheels.length} locked packages, ${formatBytes(bytes)}`;
    return { name, result: "ok", message };
  }
  const newest = await findImageLock(locks, imageTags[0]);
  const versions = new Map(newest?.wheels.map((wheel) => [wheel.name, wheel.version]));
  const wanted = needed.map((each) =>
    versions.has(each) ? `${each}==${versions.get(each)}` : each,
  );
  return {
    name,
    result: "warning",
    message: `Moxi has no locked packages for the image ${image}: it must hold torch, ${needed.join(", ")} itself`,
    hint: `install them when you build it: pip install ${wanted.join(" ")}`,
  };
}
