import { join } from "node:path";
import { expect, test } from "vitest";
import { plan } from "../../../test/fixtures/story.ts";
import type { CloudSettings } from "../../run/plan.ts";
import { imageTags } from "./images.ts";
import { checkPackages } from "./packages.ts";

const trainer = join(import.meta.dirname, "../../../trainer");
const check = (imageTag: string) => {
  const image = `123456789012.dkr.ecr.us-east-1.amazonaws.com/own:${imageTag}`;
  return checkPackages({ ...plan().cloud, image, imageTag } as CloudSettings, trainer);
};

test.for(imageTags)("the image %s gets its locked packages", async (tag) => {
  expect(await check(tag)).toEqual({
    name: "packages",
    result: "ok",
    message: expect.stringMatching(/^\d+ locked packages, \d+ MB$/),
  });
});

test.for(["mine", `sha256:${"0".repeat(64)}`, "../../package"])(
  "an image %s of one's own gets none, and is told what it must hold",
  async (tag) => {
    const { result, message, hint } = await check(tag);
    expect(result).toBe("warning");
    expect(message).toContain(`own:${tag}: it must hold torch, transformers, trl, peft,`);
    expect(hint).toMatch(/pip install transformers==[\d.]+ trl==[\d.]+ .* boto3==[\d.]+$/);
  },
);
