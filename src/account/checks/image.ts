import type { Aws } from "../../aws/aws.ts";
import { toMoxiError } from "../../base/errors.ts";
import type { Check } from "../../run/check.ts";
import { imageParts } from "../wanted.ts";
import type { Place } from "../wanted.ts";

/** Whether the image is there: a job whose image is missing fails after minutes. */
export async function checkImage(aws: Aws, { image, region }: Place): Promise<Check> {
  const name = "image";
  const parts = imageParts(image);
  if (parts === undefined) {
    return {
      name,
      code: "E_CONFIG_INVALID",
      result: "failed",
      message: `${image} is not the address of an image in an ECR registry`,
      hint: "use <account>.dkr.ecr.<region>.amazonaws.com/<repository>:<tag>",
    };
  }
  if (parts.region !== region) {
    return {
      name,
      code: "E_CONFIG_INVALID",
      result: "failed",
      message: `the image is in ${parts.region}, and SageMaker reads images of ${region} alone`,
      hint: `copy it to a registry in ${region}, or set AWS_REGION=${parts.region}`,
    };
  }
  const isDigest = parts.version.startsWith("sha256:");
  const version = `${parts.repository}${isDigest ? "@" : ":"}${parts.version}`;
  try {
    const digest = await (await aws.ecr()).digest(parts);
    if (digest !== undefined) return { name, result: "ok", message: version };
    return {
      name,
      code: "E_AWS_NOT_FOUND",
      result: "failed",
      message: `there is no image ${version} in registry ${parts.registry}`,
      hint: "leave `image` out, or choose one of https://aws.github.io/deep-learning-containers/",
    };
  } catch (error) {
    const { message } = toMoxiError(error);
    return {
      name,
      result: "warning",
      message: `whether the image is there could not be found out: ${message}`,
      hint: "allow ecr:DescribeImages to find out",
    };
  }
}
