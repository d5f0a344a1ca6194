import { imageParts } from "../../account/wanted.ts";
import { MoxiError } from "../../base/errors.ts";
import { nearestName } from "../../base/format.ts";

/** AWS's Hugging Face training images that Moxi has locked packages for, the newest first. */
export const imageTags = [
  "2.9.0-transformers5.3.0-gpu-py312-cu130-ubuntu22.04",
  "2.8.0-transformers4.56.2-gpu-py312-cu129-ubuntu22.04",
  "2.7.1-transformers4.55.0-gpu-py312-cu128-ubuntu22.04",
  "2.5.1-transformers4.49.0-gpu-py311-cu124-ubuntu22.04",
] as const;

const repository = "huggingface-pytorch-training";
const registry = "763104351884";

/**
 * The account whose registry serves AWS's images, where it is not the one of most regions. From
 * AWS's own package sagemaker-core 2.27.0 (PyPI, read on 2026-11-28), image_uri_config: the first
 * lines stand in huggingface.json under all four images above; the last, of newer regions, only in
 * pytorch.json 2.10.0. Whether a region has the image is asked before anything starts.
 */
const registries: Readonly<Record<string, string>> = {
  "af-south-1": "626614931356",
  "ap-east-1": "871362719292",
  "ap-northeast-3": "364406365360",
  "ap-southeast-3": "907027046896",
  "ca-west-1": "204538143572",
  "cn-north-1": "727897471807",
  "cn-northwest-1": "727897471807",
  "eu-south-1": "692866216735",
  "il-central-1": "780543022126",
  "me-central-1": "914824155844",
  "me-south-1": "217643126080",
  "us-gov-east-1": "446045086412",
  "us-gov-west-1": "442386744353",

  "ap-east-2": "975050140332",
  "ap-south-2": "772153158452",
  "ap-southeast-4": "457447274322",
  "ap-southeast-5": "550225433462",
  "ap-southeast-6": "633930458069",
  "ap-southeast-7": "590183813437",
  "eu-central-2": "380420809688",
  "eu-south-2": "503227376785",
  "me-west-1": "124382933778",
  "mx-central-1": "637423239942",
};

/** An image as a job names it. */
export interface ImageChoice {
  /** By its tag, or by its digest alone where that is given: SageMaker takes one of them. */
  readonly image: string;
  /** What names the packages that are laid over it. */
  readonly tag: string;
}

/**
 * The image that somebody chose: one of AWS's by its tag, or any by its address; either with a
 * digest behind it (`<tag>@sha256:…`), which pins it.
 *
 * @throws E_CONFIG_INVALID for what is neither
 */
export function chooseImage(wish: string | undefined, region: string): ImageChoice {
  const given = wish ?? imageTags[0];
  const isAddress = given.includes("/");
  const address = isAddress ? given : `${registryOf(region)}/${repository}:${given}`;
  const [, base, tag, digest] =
    /^([^@]+?)(?::([\w.-]+))?(@sha256:[0-9a-f]{64})?$/.exec(address) ?? [];
  const image = `${base}${digest ?? (tag === undefined ? "" : `:${tag}`)}`;
  const isKnown = isAddress || (imageTags as readonly string[]).includes(tag ?? "");
  if (isKnown && imageParts(image) !== undefined) {
    return { image, tag: tag ?? digest!.slice(1) };
  }
  const own = `<account>${registryOf(region).slice(registry.length)}/<repository>:<tag>`;
  throw new MoxiError("E_CONFIG_INVALID", "sagemaker.image is no image that Moxi can train in", {
    hint: `use a tag of AWS's, such as ${nearestName(given, imageTags) ?? imageTags[0]}, or the address of your own, ${own}`,
    place: { field: "sagemaker.image" },
  });
}

/** "763104351884.dkr.ecr.us-east-1.amazonaws.com" */
function registryOf(region: string): string {
  const domain = region.startsWith("cn-") ? "amazonaws.com.cn" : "amazonaws.com";
  return `${registries[region] ?? registry}.dkr.ecr.${region}.${domain}`;
}
