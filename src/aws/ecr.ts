import { DescribeImagesCommand, ECRClient } from "@aws-sdk/client-ecr";
import type { ClientParts } from "./aws.ts";

export interface ImageQuery {
  readonly registry: string;
  readonly repository: string;
  /** A tag, or a digest that begins with "sha256:". */
  readonly version: string;
}

export type Ecr = Awaited<ReturnType<typeof openEcr>>;

/** Container images in a registry. */
export async function openEcr(parts: ClientParts) {
  const client = new ECRClient(await parts.config("ecr"));
  parts.onClose(() => client.destroy());
  // Asked by its tag for the plan, an image is known by its digest when the checks ask for that.
  const asked = new Map<string, Promise<string | undefined>>();
  return {
    /** The image's digest; undefined where there is none. */
    digest: async (image: ImageQuery): Promise<string | undefined> => {
      const { registry, repository, version } = image;
      const name = (one: string) => `${registry}/${repository} ${one}`;
      const answer = asked.get(name(version)) ?? ask(image);
      asked.set(name(version), answer);
      const digest = await answer;
      if (digest !== undefined) asked.set(name(digest), answer);
      return digest;
    },
  };

  function ask({ registry, repository, version }: ImageQuery): Promise<string | undefined> {
    return parts.attempt(`look at the image ${repository}:${version}`, async () => {
      const id = version.startsWith("sha256:") ? { imageDigest: version } : { imageTag: version };
      try {
        const { imageDetails = [] } = await client.send(
          new DescribeImagesCommand({
            registryId: registry,
            repositoryName: repository,
            imageIds: [id],
          }),
        );
        return imageDetails[0]?.imageDigest;
      } catch (error) {
        const missing = /^(ImageNotFound|RepositoryNotFound)Exception$/;
        if (error instanceof Error && missing.test(error.name)) return undefined;
        throw error;
      }
    });
  }
}
