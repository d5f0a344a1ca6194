"""AWS's protocols as a service sees them: requests held against its models, errors in its words."""

import gzip
import json
import re
import uuid
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import botocore
from botocore.model import ServiceModel, Shape
from werkzeug.wrappers import Response

XML_NAMESPACE = {
    "iam": "https://iam.amazonaws.com/doc/2010-05-08/",
    "sts": "https://sts.amazonaws.com/doc/2011-06-15/",
}


class AwsError(Exception):
    """An error that the service answers with."""

    def __init__(
        self, code: str, message: str, status: int = 400, headers: dict[str, str] | None = None
    ):
        super().__init__(message)
        self.code, self.message, self.status = code, message, status
        self.headers = headers or {}


@cache
def model(service: str) -> ServiceModel:
    """The newest model of a service that botocore carries."""
    newest = sorted((Path(botocore.__file__).parent / "data" / service).iterdir())[-1]
    return ServiceModel(json.loads(gzip.decompress((newest / "service-2.json.gz").read_bytes())))


def check(service: str, operation: str, values: dict[str, Any]) -> None:
    """Raises ValidationException, worded as AWS does, for the constraints that are broken."""
    shape = model(service).operation_model(operation).input_shape
    found = list(_broken(shape, values, ""))
    if found:
        plural = "error" if len(found) == 1 else "errors"
        raise AwsError(
            "ValidationException", f"{len(found)} validation {plural} detected: {'; '.join(found)}"
        )


def _broken(shape: Shape, value: Any, path: str):
    kind, rules = shape.type_name, shape.metadata
    if kind == "structure":
        if not isinstance(value, dict):
            yield f"Value at '{path}' is no structure"
            return
        for name in value.keys() - shape.members.keys():
            yield f"Member '{_join(path, name)}' is not known"
        for name, member in shape.members.items():
            if value.get(name) is not None:
                yield from _broken(member, value[name], _join(path, name))
            elif name in shape.required_members:
                yield _failed(None, _join(path, name), "Member must not be null")
        return
    if kind == "list":
        yield from _size(len(value), rules, value, path, "length")
        for index, each in enumerate(value):
            yield from _broken(shape.member, each, f"{path}.{index + 1}.member")
        return
    if kind == "map":
        yield from _size(len(value), rules, value, path, "length")
        for key, each in value.items():
            yield from _broken(shape.key, key, f"{path}.key")
            yield from _broken(shape.value, each, f"{path}.{key}.member")
        return
    expected = {"string": str, "integer": int, "long": int, "boolean": bool, "float": (int, float)}
    if kind in expected and (
        not isinstance(value, expected[kind]) or (kind != "boolean" and isinstance(value, bool))
    ):
        yield f"Value '{value}' at '{path}' is no {kind}"
    elif kind == "string":
        yield from _size(len(value), rules, value, path, "length")
        if shape.enum and value not in shape.enum:
            allowed = f"Member must satisfy enum value set: [{', '.join(shape.enum)}]"
            yield _failed(value, path, allowed)
        pattern = rules.get("pattern")
        if pattern and not re.fullmatch(_python_pattern(pattern), value):
            demand = f"Member must satisfy regular expression pattern: {pattern}"
            yield _failed(value, path, demand)
    elif kind in ("integer", "long"):
        yield from _size(value, rules, value, path, "value")


def _size(size: int, rules: dict, value: Any, path: str, what: str):
    if "min" in rules and size < rules["min"]:
        yield _failed(
            value, path, f"Member must have {what} greater than or equal to {rules['min']}"
        )
    if "max" in rules and size > rules["max"]:
        yield _failed(value, path, f"Member must have {what} less than or equal to {rules['max']}")


def _failed(value: Any, path: str, demand: str) -> str:
    told = "null" if value is None else json.dumps(value) if not isinstance(value, str) else value
    return f"Value '{told}' at '{path}' failed to satisfy constraint: {demand}"


def _join(path: str, name: str) -> str:
    return f"{path}.{name[:1].lower()}{name[1:]}" if path else f"{name[:1].lower()}{name[1:]}"


def _python_pattern(pattern: str) -> str:
    """Java's Unicode classes in Python's words; the stricter part of what they say is kept."""
    classes = {r"\p{L}": r"^\W\d_", r"\p{N}": r"\d", r"\p{Z}": r"\s"}
    if r"\p{L}" in pattern:  # only used inside one positive character class
        return pattern.replace(r"\p{L}\p{Z}\p{N}", r"\w\s")
    for java, python in classes.items():
        pattern = pattern.replace(java, python)
    return pattern


def json_response(value: dict[str, Any]) -> Response:
    return _answer(json.dumps(value, default=_encode), 200, "application/x-amz-json-1.1")


def xml_response(service: str, operation: str, inner: str) -> Response:
    """An answer of the query protocol."""
    return _answer(
        f'<{operation}Response xmlns="{XML_NAMESPACE[service]}"><{operation}Result>{inner}'
        f"</{operation}Result><ResponseMetadata><RequestId>{uuid.uuid4()}</RequestId>"
        f"</ResponseMetadata></{operation}Response>",
        200,
        "text/xml",
    )


def error_response(service: str, error: AwsError) -> Response:
    """The error in the form of the service's protocol."""
    if service == "s3":
        told = f"<Code>{error.code}</Code><Message>{_xml(error.message)}</Message>"
        body = f"<?xml version='1.0'?><Error>{told}</Error>"
        answer = _answer(body, error.status, "application/xml")
        answer.headers.update(error.headers)
        return answer
    if service in XML_NAMESPACE:
        body = (
            "<ErrorResponse "
            f'xmlns="{XML_NAMESPACE[service]}"><Error><Type>Sender</Type><Code>{error.code}</Code>'
            f"<Message>{_xml(error.message)}</Message></Error></ErrorResponse>"
        )
        return _answer(body, error.status, "text/xml")
    body = json.dumps({"__type": error.code, "message": error.message})
    return _answer(body, error.status, "application/x-amz-json-1.1")


def _answer(body: str, status: int, kind: str) -> Response:
    return Response(
        body, status, content_type=kind, headers={"x-amzn-RequestId": str(uuid.uuid4())}
    )


def _xml(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _encode(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.timestamp()
    raise TypeError(f"{value!r} cannot be sent")
