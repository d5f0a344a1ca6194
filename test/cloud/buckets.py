"""Whose a bucket is and where: what S3 says before it looks at anybody's permissions."""

from moto.s3.models import s3_backends

from call import Call
from identity import ACCOUNT
from wire import AwsError


class Buckets:
    def __init__(self) -> None:
        self.strangers: set[str] = set()  # buckets of another account, which nobody here may use

    def refuse(self, call: Call) -> None:
        """Raises what S3 answers where a bucket is missing, a stranger's or in another region."""
        name = call.values.get("Bucket", "")
        if call.service != "s3" or not name or call.operation == "CreateBucket":
            return
        if name in self.strangers:
            raise AwsError("AccessDenied", "Access Denied", 403)
        bucket = s3_backends[ACCOUNT]["aws"].buckets.get(name)
        if bucket is None:
            raise AwsError("NoSuchBucket", "The specified bucket does not exist", 404)
        if call.values.get("ExpectedBucketOwner", ACCOUNT) != ACCOUNT:
            raise AwsError("AccessDenied", "Access Denied", 403)
        if bucket.region_name != call.region:
            raise AwsError(
                "PermanentRedirect",
                "The bucket you are attempting to access must be addressed using the specified "
                "endpoint. Please send all future requests to this endpoint.",
                301,
                {"x-amz-bucket-region": bucket.region_name},
            )

    def has_objects(self, bucket: str, prefix: str) -> bool:
        backend = s3_backends[ACCOUNT]["aws"]
        found, *_ = backend.list_objects(backend.buckets[bucket], prefix, None, None, 1)
        return len(found) > 0
