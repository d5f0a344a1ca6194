"""JSON as the one text that TypeScript and Python write for it: see `exactJson` of the CLI."""

import json
import re
from typing import Any

from .problem import is_number, whole

_LARGEST = 2**53 - 1

# Objects and arrays in each other, at most: what reads a row later must not run out of stack.
_DEPTH = 64


class Inexact(Exception):
    """Why a value has no exact text: a reason of RowProblem, a message."""

    def __init__(self, reason: str, message: str):
        super().__init__(message)
        self.reason = reason


def exact_json(value: Any) -> str:
    """No blanks, entries in the order of the file (whole-number keys first), numbers as in text.

    The order is kept because models see it: a chat template prints arguments and schemas as they
    stand. Raises Inexact for a number that the languages would not write alike, and deep nesting.
    """
    return json.dumps(_exact(value, 0), ensure_ascii=False, separators=(",", ":"))


def parse_exact(text: str) -> Any:
    """Reads JSON text. Raises Inexact if it is none."""
    try:
        return json.loads(text, parse_constant=_refuse_constant, parse_int=_whole_number)
    except (ValueError, RecursionError):
        raise Inexact("value", "is not JSON") from None


def number(value: float) -> str:
    if value != 0 and not 0.0001 <= abs(value) <= _LARGEST:
        raise ValueError(value)
    return str(int(value)) if value == int(value) else repr(value)


def javascript_order(key: str) -> tuple[bool, int]:
    """Whole numbers first, ascending; the rest as written (sorting keeps the order of equals)."""
    whole = re.fullmatch("0|[1-9][0-9]{0,9}", key) is not None and int(key) < 2**32 - 1
    return (not whole, int(key) if whole else 0)


def _exact(value: Any, depth: int) -> Any:
    if depth > _DEPTH:
        raise Inexact("value", f"is nested more than {_DEPTH} deep")
    if isinstance(value, str):
        return whole(value)
    if is_number(value):
        return _exact_number(value)
    if isinstance(value, list):
        return [_exact(item, depth + 1) for item in value]
    if not isinstance(value, dict):
        return value
    keys = sorted(value, key=javascript_order)
    return {whole(key): _exact(value[key], depth + 1) for key in keys}


def _exact_number(value: float) -> float:
    try:
        number(value)
    except ValueError as error:
        what = f"holds the number {error}, which cannot be written exactly"
        raise Inexact("number", f"{what}: make it text") from error
    return int(value) if value == int(value) else value


def _whole_number(text: str) -> float:
    """Without Python's limit on digits: what is too large for a double is infinite, as anywhere."""
    return int(text) if len(text) < 20 else float(text)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")
