"""Container images: what a registry says of them, and the Python that stands for one."""

from dataclasses import dataclass

from wire import AwsError


@dataclass(frozen=True)
class Image:
    uri: str  # <account>.dkr.ecr.<region>.amazonaws.com/<repository>:<tag>
    digest: str
    python: str | None  # the interpreter a container of it runs; None where none can run here

    @property
    def registry(self) -> str:
        return self.uri.partition(".")[0]

    @property
    def repository(self) -> str:
        return self.uri.partition("/")[2].partition(":")[0]

    @property
    def tag(self) -> str:
        return self.uri.rpartition(":")[2]


class Images:
    def __init__(self) -> None:
        self._known: list[Image] = []

    def add(self, image: Image) -> None:
        self._known.append(image)

    def find(self, uri: str) -> Image | None:
        """By tag or by digest."""
        for image in self._known:
            base = image.uri.rpartition(":")[0]
            if uri in (image.uri, f"{base}@{image.digest}"):
                return image
        return None

    def describe(self, values: dict) -> dict:
        """ecr:DescribeImages."""
        registry, repository = values.get("registryId"), values["repositoryName"]
        inside = [i for i in self._known if i.repository == repository and i.registry == registry]
        if not inside:
            raise AwsError(
                "RepositoryNotFoundException",
                f"The repository with name '{repository}' does not exist in the registry with id "
                f"'{registry}'",
            )
        details = []
        for wanted in values.get("imageIds", []):
            found = [
                i
                for i in inside
                if wanted.get("imageTag", i.tag) == i.tag
                and wanted.get("imageDigest", i.digest) == i.digest
            ]
            if not found:
                raise AwsError(
                    "ImageNotFoundException",
                    f"The image with imageId {wanted} does not exist within the repository with "
                    "name "
                    f"'{repository}' in the registry with id '{registry}'",
                )
            details += [
                {
                    "registryId": i.registry,
                    "repositoryName": i.repository,
                    "imageDigest": i.digest,
                    "imageTags": [i.tag],
                }
                for i in found
            ]
        return {"imageDetails": details}
