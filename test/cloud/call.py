"""What a request asks for: service, operation, values, and the permissions that this needs."""

import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote

from moto.s3.models import s3_backends
from moto.ssm.models import ssm_backends

from identity import ACCOUNT, path_of
from wire import AwsError

SIGNATURE = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/\d{8}/([^/]+)/([^/]+)/aws4_request,\s*"
    r"SignedHeaders=([^,]+),\s*Signature=([0-9a-f]{64})"
)


@dataclass(frozen=True)
class Need:
    """One permission that a request needs."""

    action: str
    resource: str
    context: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Call:
    service: str  # the signing name: "s3", "sagemaker", "servicequotas" ...
    operation: str
    region: str
    values: dict[str, Any]
    needs: tuple[Need, ...]
    key: str
    signed: list[str]
    signature: str

    @staticmethod
    def of(request) -> "Call":
        match = SIGNATURE.match(request.headers.get("Authorization", ""))
        if match is None:
            raise AwsError("MissingAuthenticationToken", "Missing Authentication Token", 403)
        key, region, service, signed, signature = match.groups()
        operation, values = _parse(service, request)
        needs = tuple(_needs(service, operation, region, values))
        return Call(service, operation, region, values, needs, key, signed.split(";"), signature)

    @staticmethod
    def listing(key: str, region: str, bucket: str, prefix: str) -> "Call":
        """A look at what S3 has below a prefix, which a service takes itself."""
        values = {"Bucket": bucket, "Key": "", "Prefix": prefix}
        needs = tuple(_s3_needs("ListObjectsV2", values))
        return Call("s3", "ListObjectsV2", region, values, needs, key, [], "")


def _parse(service: str, request) -> tuple[str, dict[str, Any]]:
    target = request.headers.get("X-Amz-Target")
    if target is not None:
        return target.rpartition(".")[2], json.loads(request.get_data() or b"{}")
    if service == "s3":
        return _s3(request)
    form = {name: given[0] for name, given in parse_qs(request.get_data().decode()).items()}
    return form.get("Action", "?"), form


# What a request says of the bucket and of the object that it makes.
S3_HEADERS = {
    "ExpectedBucketOwner": "x-amz-expected-bucket-owner",
    "ServerSideEncryption": "x-amz-server-side-encryption",
    "SSEKMSKeyId": "x-amz-server-side-encryption-aws-kms-key-id",
}


def _s3(request) -> tuple[str, dict[str, Any]]:
    """S3's operation, by method, path and query. Paths begin with the bucket."""
    bucket, _, object_key = unquote(request.path).lstrip("/").partition("/")
    query, method = request.args, request.method
    values = {"Bucket": bucket, "Key": object_key, "Prefix": query.get("prefix", "")}
    for name, header in S3_HEADERS.items():
        if header in request.headers:
            values[name] = request.headers[header]
    copies = "X-Amz-Copy-Source" in request.headers
    if object_key:
        upload = "uploadId" in query
        operation = {
            "GET": "ListParts" if upload else "GetObject",
            "HEAD": "HeadObject",
            "PUT": "UploadPart" if upload else "CopyObject" if copies else "PutObject",
            "POST": "CompleteMultipartUpload" if upload else "CreateMultipartUpload",
            "DELETE": "AbortMultipartUpload" if upload else "DeleteObject",
        }[method]
        if copies:
            values["Source"] = unquote(request.headers["X-Amz-Copy-Source"]).lstrip("/")
        return operation, values
    if not bucket:
        return "ListBuckets", values
    special = {
        "location": "GetBucketLocation",
        "uploads": "ListMultipartUploads",
        "policy": "GetBucketPolicy",
        "encryption": "GetBucketEncryption",
        "publicAccessBlock": "GetPublicAccessBlock",
    }
    if method == "GET":
        return next(
            (name for word, name in special.items() if word in query), "ListObjectsV2"
        ), values
    others = {
        "HEAD": "HeadBucket",
        "PUT": "CreateBucket",
        "DELETE": "DeleteBucket",
        "POST": "DeleteObjects",
    }
    return others[method], values


# The permission behind an S3 operation, where its name is another.
S3_ACTIONS = {
    "HeadObject": "GetObject",
    "ListParts": "ListMultipartUploadParts",
    "UploadPart": "PutObject",
    "CompleteMultipartUpload": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "HeadBucket": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "ListBuckets": "ListAllMyBuckets",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
}


def _needs(service: str, operation: str, region: str, values: dict[str, Any]):
    if service == "s3":
        yield from _s3_needs(operation, values)
        yield from _s3_key_needs(operation, region, values)
    elif service == "sagemaker":
        yield from _sagemaker_needs(operation, region, values)
    elif service == "logs":
        group = values.get("logGroupName") or "*"
        arn = f"arn:aws:logs:{region}:{ACCOUNT}:log-group:{group}"
        if operation in ("GetLogEvents", "PutLogEvents", "CreateLogStream"):
            stream = values.get("logStreamName", "*")
            yield Need(f"logs:{operation}", f"{arn}:log-stream:{stream}")
        else:
            yield Need(f"logs:{operation}", arn)
    elif service == "ssm":
        for name in values.get("Names") or [values.get("Name") or values.get("ResourceId", "*")]:
            yield from _ssm_needs(operation, region, name, values)
    elif service == "ecr":
        registry = values.get("registryId", ACCOUNT)
        name = values.get("repositoryName", "*")
        yield Need(f"ecr:{operation}", f"arn:aws:ecr:{region}:{registry}:repository/{name}")
    elif service == "iam":
        if operation == "SimulatePrincipalPolicy":
            yield Need("iam:SimulatePrincipalPolicy", values.get("PolicySourceArn", "*"))
        else:
            kind = "role" if "RoleName" in values else "user"
            name = values.get("RoleName", values.get("UserName", "*"))
            path = path_of(kind, name)
            yield Need(f"iam:{operation}", f"arn:aws:iam::{ACCOUNT}:{kind}{path}{name}")
    elif service == "kms":
        key = values.get("KeyId", "*")
        arn = key if key.startswith("arn:") else f"arn:aws:kms:{region}:{ACCOUNT}:key/{key}"
        yield Need(f"kms:{operation}", arn)
    elif operation != "GetCallerIdentity":  # which nobody can be denied
        yield Need(f"{service}:{operation}", "*")


def _s3_needs(operation: str, values: dict[str, Any]):
    arn = f"arn:aws:s3:::{values['Bucket']}"
    if operation == "ListBuckets":
        yield Need("s3:ListAllMyBuckets", "*")
    elif operation == "CopyObject":
        yield Need("s3:GetObject", f"arn:aws:s3:::{values['Source']}")
        yield Need("s3:PutObject", f"{arn}/{values['Key']}")
    elif operation == "DeleteObjects":
        yield Need("s3:DeleteObject", f"{arn}/*")
    else:
        action = f"s3:{S3_ACTIONS.get(operation, operation)}"
        if values["Key"]:
            yield Need(action, f"{arn}/{values['Key']}")
        elif operation in ("ListObjectsV2", "ListMultipartUploads"):
            yield Need(action, arn, {"s3:prefix": values["Prefix"]})
        else:
            yield Need(action, arn)


def _s3_key_needs(operation: str, region: str, values: dict[str, Any]):
    """Whoever writes or reads an object under a customer's key uses that key, through S3."""
    if operation in ("PutObject", "CreateMultipartUpload"):
        key, action = values.get("SSEKMSKeyId"), "kms:GenerateDataKey"
    elif operation == "GetObject":
        bucket = s3_backends[ACCOUNT]["aws"].buckets.get(values["Bucket"])
        stored = bucket and bucket.keys.get(values["Key"])
        key, action = stored and stored.kms_key_id, "kms:Decrypt"
    else:
        return
    if key:
        arn = key if key.startswith("arn:") else f"arn:aws:kms:{region}:{ACCOUNT}:key/{key}"
        yield Need(action, arn, {"kms:ViaService": f"s3.{region}.amazonaws.com"})


def _ssm_needs(operation: str, region: str, name: str, values: dict[str, Any]):
    """A secure parameter also needs its key: whoever calls encrypts and decrypts, not the service.

    The account's own key for parameters allows it to everybody of the account.
    """
    arn = f"arn:aws:ssm:{region}:{ACCOUNT}:parameter/{name.lstrip('/')}"
    yield Need(f"ssm:{operation}", arn)
    if operation == "PutParameter":
        if values.get("Tags"):
            yield Need("ssm:AddTagsToResource", arn)
        key, action = values.get("KeyId"), "kms:Encrypt"
    elif operation in ("GetParameter", "GetParameters") and values.get("WithDecryption"):
        stored = ssm_backends[ACCOUNT][region].get_parameter(name)
        key, action = stored and stored.keyid, "kms:Decrypt"
    else:
        return
    if key and key != "alias/aws/ssm":
        context = {
            "kms:ViaService": f"ssm.{region}.amazonaws.com",
            "kms:EncryptionContext:PARAMETER_ARN": arn,
        }
        is_arn = key.startswith("arn:")
        yield Need(action, key if is_arn else f"arn:aws:kms:{region}:{ACCOUNT}:key/{key}", context)


def _sagemaker_needs(operation: str, region: str, values: dict[str, Any]):
    if operation == "ListTrainingJobs":
        yield Need("sagemaker:ListTrainingJobs", "*")
        return
    name = values.get("TrainingJobName", "*")
    arn = values.get("ResourceArn") or f"arn:aws:sagemaker:{region}:{ACCOUNT}:training-job/{name}"
    tags = {each.get("Key"): each.get("Value") for each in values.get("Tags") or []}
    context = {f"aws:RequestTag/{key}": value for key, value in tags.items()}
    if tags:
        context["aws:TagKeys"] = list(tags)
    if operation == "CreateTrainingJob":
        resources = values.get("ResourceConfig", {})
        limit = values.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", 86_400)
        context["sagemaker:MaxRuntimeInSeconds"] = str(limit)
        if "InstanceType" in resources:
            context["sagemaker:InstanceTypes"] = [resources["InstanceType"]]
        role = values.get("RoleArn", "*")
        yield Need("iam:PassRole", role, {"iam:PassedToService": "sagemaker.amazonaws.com"})
    yield Need(f"sagemaker:{operation}", arn, context)
    if operation == "CreateTrainingJob" and tags:
        yield Need(
            "sagemaker:AddTags", arn, {k: v for k, v in context.items() if k.startswith("aws:")}
        )
