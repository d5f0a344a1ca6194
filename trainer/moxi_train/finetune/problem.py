"""Why a row cannot be trained on, and how its values are told."""

import re
from typing import Any

# What JavaScript's \s matches, and the zero-width space.
_BLANK = re.compile("[\t\n\v\f\r \u00a0\u1680\u2000-\u200b\u2028\u2029\u202f\u205f\u3000\ufeff]*")
_HALF = re.compile("[\ud800-\udfff]")


class RowProblem(Exception):
    """Why a row cannot be trained on: a field ("" for the row itself), a reason, a message."""

    def __init__(self, field: str, reason: str, message: str):
        super().__init__(message)
        self.field = field
        self.reason = reason


def is_blank(text: str) -> bool:
    return _BLANK.fullmatch(text) is not None


def text_at(value: Any, path: str) -> str:
    if value is None:
        raise RowProblem(path, "missing", f"{path} is missing")
    if not isinstance(value, str):
        raise RowProblem(path, "type", f"{path} is {describe(value)}, not text")
    return whole(value)


def refuse_blank(text: str, path: str) -> None:
    if is_blank(text):
        raise RowProblem(path, "blank", f"{path} is {'blank' if text else 'empty'}")


def outdated(path: str, use: str) -> RowProblem:
    return RowProblem(path, "unsupported", f"{path} is the form of 2023: use {use}")


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def whole(text: str) -> str:
    """Text with a UTF-8 form: halves of surrogate pairs have none."""
    return _HALF.sub("\ufffd", text)


def describe(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "text"
    if is_number(value):
        return f"a number ({value})"
    return "an array" if isinstance(value, list) else "an object"


def quoted(text: str) -> str:
    """Foreign text, short enough for a message and on one line."""
    text = whole(text)
    shown = f"{text[:40]}..." if len(text) > 40 else text
    return '"' + shown.encode("unicode_escape").decode("ascii").replace('"', '\\"') + '"'
