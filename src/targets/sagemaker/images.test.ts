import { describe, expect, test } from "vitest";
import { isMoxiError } from "../../base/errors.ts";
import { chooseImage, imageTags } from "./images.ts";

const [newest] = imageTags;
const digest = `sha256:${"0123456789abcdef".repeat(4)}`;
const own = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/train";

test.each([
  ["us-east-1", "763104351884.dkr.ecr.us-east-1.amazonaws.com"],
  ["eu-south-1", "692866216735.dkr.ecr.eu-south-1.amazonaws.com"],
  ["cn-north-1", "727897471807.dkr.ecr.cn-north-1.amazonaws.com.cn"],
  ["us-gov-west-1", "442386744353.dkr.ecr.us-gov-west-1.amazonaws.com"],
])("AWS's images in %s", (region, registry) => {
  const image = `${registry}/huggingface-pytorch-training:${newest}`;
  expect(chooseImage(undefined, region)).toEqual({ image, tag: newest });
});

describe("what may be chosen", () => {
  const aws = "763104351884.dkr.ecr.us-east-1.amazonaws.com/huggingface-pytorch-training";
  test.each([
    [imageTags[3], `${aws}:${imageTags[3]}`, imageTags[3]],
    [`${newest}@${digest}`, `${aws}@${digest}`, newest],
    [`${own}:1.2`, `${own}:1.2`, "1.2"],
    [`${own}@${digest}`, `${own}@${digest}`, digest],
    [`${own}:1.2@${digest}`, `${own}@${digest}`, "1.2"],
  ])("%s", (given, image, tag) => {
    expect(chooseImage(given, "us-east-1")).toEqual({ image, tag });
  });
});

test.each(["", "latest", "2.9.0", "python:3.12", `${own}:`, `${own}@sha256:12`, own, `${newest}@`])(
  'what is no image: "%s"',
  (given) => {
    let refused: unknown;
    try {
      chooseImage(given, "eu-west-1");
    } catch (error) {
      refused = error;
    }
    expect(isMoxiError(refused) && refused.place?.field).toBe("sagemaker.image");
    expect(refused).toMatchObject({ hint: expect.stringContaining("amazonaws.com/<repository>") });
  },
);
