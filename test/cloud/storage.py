"""What SageMaker itself does in S3 for a job, with the rights of the job's execution role."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlparse

import boto3
from botocore.config import Config

from identity import Session

# A session reads each service's model once, which takes longer than all else about a client. It may
# make one client at a time.
_models, _lock = boto3.Session(), threading.Lock()


class JobStorage:
    """Downloads channels and checkpoints, uploads checkpoints and models."""

    def __init__(self, endpoint: str, region: str, session: Callable[[], Session]) -> None:
        self._endpoint, self._region, self._session = endpoint, region, session
        self._clients: dict = {}

    def client(self, service: str):
        if service not in self._clients:
            self._clients[service] = self._client(service)
        return self._clients[service]

    def _client(self, service: str):
        session = self._session()
        with _lock:
            return _models.client(
                service,
                endpoint_url=self._endpoint,
                region_name=self._region,
                aws_access_key_id=session.key,
                aws_secret_access_key=session.secret,
                aws_session_token=session.token,
                config=Config(retries={"total_max_attempts": 3}, s3={"addressing_style": "path"}),
            )

    def download(self, uri: str, folder: Path) -> None:
        """Every object under a prefix, as files below a folder."""
        bucket, prefix = split(uri)
        s3 = self.client("s3")
        folder.mkdir(parents=True, exist_ok=True)
        base = prefix if prefix.endswith("/") else prefix.rpartition("/")[0]
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for entry in page.get("Contents", []):
                name = entry["Key"][len(base) :].lstrip("/")
                if not name or name.endswith("/"):
                    continue
                place = folder / name
                place.parent.mkdir(parents=True, exist_ok=True)
                s3.download_file(bucket, entry["Key"], str(place))

    def upload(self, folder: Path, uri: str, known: dict[str, tuple[int, int]]) -> None:
        """Every file that is new or changed since `known`, which is brought up to date."""
        bucket, prefix = split(uri)
        s3 = self.client("s3")
        # Not by rglob, which fails where a folder goes while it looks.
        walked = (Path(place, name) for place, _, names in os.walk(folder) for name in names)
        for path in sorted(walked):
            try:
                if not path.is_file():
                    continue
                stat = path.stat()
                name, state = str(path.relative_to(folder)), (stat.st_size, stat.st_mtime_ns)
                if known.get(name) == state:
                    continue
                s3.upload_file(str(path), bucket, f"{prefix.rstrip('/')}/{name}")
                known[name] = state
            except FileNotFoundError:
                continue  # renamed or removed meanwhile: a file-level copy sees that next time


def split(uri: str) -> tuple[str, str]:
    """ "s3://bucket/a/b" -> ("bucket", "a/b")"""
    parsed = urlparse(uri)
    return parsed.netloc, parsed.path.lstrip("/")
