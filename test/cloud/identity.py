"""Who asks: access keys, the users and roles behind them, and the policies that those hold."""

import hmac
import json
import secrets
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials
from moto.iam.models import iam_backends
from moto.sts.models import sts_backends

from wire import AwsError

ACCOUNT = "123456789012"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"


@dataclass(frozen=True)
class Principal:
    """`arn` is the user, the account's root, or the role behind a session; `session` who calls."""

    arn: str
    session: str
    policies: tuple[dict, ...]

    @property
    def is_root(self) -> bool:
        return self.arn == ROOT


@dataclass(frozen=True)
class Session:
    """Temporary credentials of a role."""

    key: str
    secret: str
    token: str
    role_arn: str
    session: str
    expires: datetime


class Identities:
    """The account's keys: one of the root, and those that IAM and STS gave out."""

    def __init__(self) -> None:
        self.root_key, self.root_secret = "AKIAROOTROOTROOTROOT", secrets.token_hex(20)
        self._sessions: dict[str, Session] = {}
        self._expired: set[str] = set()
        self._lock = threading.Lock()

    def assume(self, role_arn: str, session: str, seconds: float = 3600) -> Session:
        """Credentials of a role for a service that works in its name."""
        made = Session(
            key=f"ASIA{secrets.token_hex(8).upper()}",
            secret=secrets.token_hex(20),
            token=secrets.token_urlsafe(60),
            role_arn=role_arn,
            session=session,
            expires=datetime.now(UTC) + timedelta(seconds=seconds),
        )
        with self._lock:
            self._sessions[made.key] = made
        return made

    def session(self, key: str) -> Session | None:
        return self._sessions.get(key)

    def expire(self, key: str) -> None:
        """From now on these credentials have run out."""
        self._expired.add(key)

    def principal(self, key: str, token: str | None) -> tuple[Principal, str]:
        """Who holds an access key, and its secret. Raises what AWS answers strangers with."""
        if key in self._expired:
            raise AwsError(
                "ExpiredToken", "The security token included in the request is expired", 403
            )
        if key == self.root_key:
            return Principal(ROOT, ROOT, ()), self.root_secret
        session = self._sessions.get(key)
        if session is not None:
            if token != session.token:
                raise _stranger()
            if datetime.now(UTC) >= session.expires:
                raise AwsError(
                    "ExpiredToken", "The security token included in the request is expired", 403
                )
            return _role(session.role_arn, session.session), session.secret
        for user in _iam().users.values():
            for access in user.access_keys:
                if access.access_key_id == key and access.status == "Active":
                    return Principal(user.arn, user.arn, _policies(user)), access.secret_access_key
        assumed = sts_backends[ACCOUNT]["aws"].get_assumed_role_from_access_key(key)
        if assumed is not None:
            return _role(assumed.role_arn, assumed.session_name), assumed.secret_access_key
        raise _stranger()

    def by_arn(self, arn: str) -> Principal:
        """A user or role by its ARN, for the policy simulator."""
        for user in _iam().users.values():
            if user.arn == arn:
                return Principal(user.arn, user.arn, _policies(user))
        if any(role.arn == arn for role in _iam().roles.values()):
            return _role(arn, "simulation")
        raise AwsError("NoSuchEntity", f"Entity {arn} does not exist.", 404)


def role(arn: str):
    """moto's record of a role, or None."""
    return next((each for each in _iam().roles.values() if each.arn == arn), None)


def path_of(kind: str, name: str) -> str:
    """The path before a user's or role's name in its ARN; "/" for one that is not there."""
    held = _iam().roles.values() if kind == "role" else _iam().users.values()
    return next((each.path for each in held if each.name == name), "/")


class _Everything:
    """botocore leaves some headers out when it signs; here all count that the client signed."""

    def headers_to_sign(self, request) -> HTTPHeaders:
        found = HTTPHeaders()
        for name, value in request.headers.items():
            found[name.lower()] = value
        return found


class Signer(_Everything, SigV4Auth):
    pass


class S3Signer(_Everything, S3SigV4Auth):
    pass


def verify_signature(
    request, service: str, region: str, key: str, secret: str, signed: list[str], given: str
) -> None:
    """Checks AWS's signature, version 4, by signing the same request again."""
    headers = {name: request.headers.get(name, "") for name in signed}
    url = f"http://{request.headers['Host']}{request.environ.get('RAW_URI') or request.full_path}"
    again = AWSRequest(request.method, url, data=request.get_data(), headers=headers)
    again.context["timestamp"] = request.headers.get("X-Amz-Date", "")
    signer = (S3Signer if service == "s3" else Signer)(Credentials(key, secret), service, region)
    canonical = signer.canonical_request(again)
    wanted = signer.signature(signer.string_to_sign(again, canonical), again)
    if not hmac.compare_digest(wanted, given):
        raise AwsError(
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. "
            "Check your AWS Secret Access Key and signing method.",
            403,
        )


def _stranger() -> AwsError:
    return AwsError(
        "UnrecognizedClientException", "The security token included in the request is invalid.", 403
    )


def _iam():
    return iam_backends[ACCOUNT]["aws"]


def _role(arn: str, session: str) -> Principal:
    found = role(arn)
    if found is None:
        raise _stranger()
    assumed = f"arn:aws:sts::{ACCOUNT}:assumed-role/{found.name}/{session}"
    return Principal(found.arn, assumed, _policies(found))


def _policies(holder) -> tuple[dict, ...]:
    inline = [{"name": name, "policy": parsed(text)} for name, text in holder.policies.items()]
    managed = [
        {"name": each.name, "policy": parsed(version.document)}
        for each in holder.managed_policies.values()
        for version in each.versions
        if version.version_id == each.default_version_id
    ]
    return (*inline, *managed)


def parsed(document) -> dict:
    return json.loads(document) if isinstance(document, str) else document
