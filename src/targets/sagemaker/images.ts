import { MoxiError } from "../../base/errors.ts";
import { imageParts } from "../../account/wanted.ts";

/** AWS's Hugging Face training images that Moxi has locked packages for, the newest first. */
export const imageTags = [
  "2.9.0-transformers5.3.0-gpu-py312-cu130-ubuntu22.04",
  "2.8.0-transformers4.56.2-gpu-py312-cu129-ubuntu22.04",
  "2.7.1-transformers4.55.0-gpu-py312-cu128-ubuntu22.04",
  "2.5.1-transformers4.49.0-gpu-py311-cu124-ubuntu22.04",
] as const;

/** The account whose registry serves AWS's images; some regions have one of their own. */
const registry = "763104351884";

/**
 * The address of an image: of AWS's by its tag, or the user's own as it was given.
 *
 * @throws E_CONFIG_INVALID for what is neither
 */
export function imageAddress(image: string | undefined, region: string): string {
  const tag = image ?? imageTags[0];
  if ((imageTags as readonly string[]).includes(tag)) {
    return `${registry}.dkr.ecr.${region}.amazonaws.com/huggingface-pytorch-training:${tag}`;
  }
  if (imageParts(tag) !== undefined) return tag;
  throw new MoxiError("E_CONFIG_INVALID", `sagemaker.image is no image that SageMaker can run`, {
    hint: `use a tag of AWS's, such as ${imageTags[0]}, or <account>.dkr.ecr.${region}.amazonaws.com/<repository>:<tag>`,
    place: { field: "sagemaker.image" },
  });
}
