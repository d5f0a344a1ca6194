"""Rows of any supported form -> the canonical one, by the rules of the CLI.

`schema/vectors/` holds both languages to them.

Accepted: `{messages: [{role, content, weight?}]}`, `{instruction, input?, output | content}` with a
text or an object as input, `{prompt, completion}`, `{text}`. A field that is null counts as absent;
other fields are ignored; text is never changed, except that half a surrogate pair becomes U+FFFD.
"""

import re
from typing import Any

Row = dict[str, Any]

ROLES = ("system", "user", "assistant")

# What JavaScript's \s matches, and the zero-width space.
_BLANK = re.compile("[\t\n\v\f\r \u00a0\u1680\u2000-\u200b\u2028\u2029\u202f\u205f\u3000\ufeff]*")
_HALF = re.compile("[\ud800-\udfff]")
_LARGEST = 2**53 - 1


class RowProblem(Exception):
    """Why a row cannot be trained on: a field ("" for the row itself), a reason, a message."""

    def __init__(self, field: str, reason: str, message: str):
        super().__init__(message)
        self.field = field
        self.reason = reason


def canonical_row(row: Any, group_by: str | None = None) -> Row:
    """A row as json.loads gives it -> `{messages}` or `{text}`, and `group` from `group_by`.

    Raises RowProblem for the first thing that is wrong.
    """
    if not isinstance(row, dict):
        raise RowProblem("", "type", f"the row is {_describe(row)}, not an object")
    body = _body(row)
    group = None if group_by is None else _group(row, group_by)
    return body if group is None else body | {"group": group}


def render_object(value: dict[str, Any]) -> str:
    """An object as text: labels from keys, one-line values behind them, longer ones below.

    Raises ValueError for a number that JavaScript and Python would not write alike.
    """
    return "\n".join(_object_lines(value))


def is_blank(text: str) -> bool:
    return _BLANK.fullmatch(text) is not None


def _body(row: Row) -> Row:
    if row.get("messages") is not None:
        return {"messages": _messages(row)}
    if row.get("instruction") is not None:
        return _dialogue(_instruction(row), _answer(row))
    if row.get("prompt") is not None:
        return _dialogue(_text(row, "prompt"), _text(row, "completion"))
    if row.get("text") is not None:
        return {"text": _text(row, "text")}
    has = ", ".join(map(_quoted, list(row)[:6]))
    message = "the row has none of messages, instruction, prompt, text"
    raise RowProblem("", "shape", f"{message}: " + (f"it has {has}" if has else "it is empty"))


def _dialogue(user: str, assistant: str) -> Row:
    return {
        "messages": [{"role": "user", "content": user}, {"role": "assistant", "content": assistant}]
    }


def _instruction(row: Row) -> str:
    instruction, given = _text(row, "instruction"), row.get("input")
    if isinstance(given, dict):
        given = _with_numbers("input", lambda: render_object(given))
    elif given is not None and not isinstance(given, str):
        raise RowProblem("input", "type", f"input is {_describe(given)}, not text or an object")
    return instruction if given is None or is_blank(given) else f"{instruction}\n\n{_whole(given)}"


def _answer(row: Row) -> str:
    output, content = row.get("output"), row.get("content")
    if output is None and content is None:
        raise RowProblem("output", "missing", "no answer in output or content")
    if output is not None and content is not None and output != content:
        raise RowProblem("output", "conflict", "output and content are both there and differ")
    return _text(row, "content" if output is None else "output")


def _messages(row: Row) -> list[Row]:
    messages = row["messages"]
    if not isinstance(messages, list):
        raise RowProblem("messages", "type", f"messages is {_describe(messages)}, not an array")
    if row.get("tools") is not None:
        raise _unsupported("tools")
    read = [_message(message, f"messages[{index}]") for index, message in enumerate(messages)]
    if not any(message["role"] == "assistant" and message.get("weight") != 0 for message in read):
        raise RowProblem("messages", "no-assistant", "no turn of the assistant to learn from")
    return read


def _message(message: Any, path: str) -> Row:
    if not isinstance(message, dict):
        raise RowProblem(path, "type", f"{path} is {_describe(message)}, not an object")
    for name in ("tool_calls", "function_call"):
        if message.get(name) is not None:
            raise _unsupported(f"{path}.{name}")
    role = _text_at(message.get("role"), f"{path}.role")
    if role not in ROLES:
        raise RowProblem(
            f"{path}.role", "role", f"{path}.role is {_quoted(role)}: use {', '.join(ROLES)}"
        )
    content = _text_at(message.get("content"), f"{path}.content")
    if role == "assistant":
        _refuse_blank(content, f"{path}.content")
    weight = message.get("weight")
    if weight is None:
        return {"role": role, "content": content}
    if isinstance(weight, bool) or weight not in (0, 1):
        raise RowProblem(f"{path}.weight", "value", f"{path}.weight must be 0 or 1")
    return {"role": role, "content": content, "weight": int(weight)}


def _group(row: Row, name: str) -> str | None:
    group = row.get(name)
    if group is None:
        return None
    if isinstance(group, str):
        return None if is_blank(group) else _whole(group)
    if _is_number(group):
        return _with_numbers(name, lambda: _number(group))
    message = f"{_quoted(name)} groups the rows and is {_describe(group)}, not text or a number"
    raise RowProblem(name, "type", message)


def _text(row: Row, name: str) -> str:
    text = _text_at(row.get(name), name)
    _refuse_blank(text, name)
    return text


def _text_at(value: Any, path: str) -> str:
    if value is None:
        raise RowProblem(path, "missing", f"{path} is missing")
    if not isinstance(value, str):
        raise RowProblem(path, "type", f"{path} is {_describe(value)}, not text")
    return _whole(value)


def _refuse_blank(text: str, path: str) -> None:
    if is_blank(text):
        raise RowProblem(path, "blank", f"{path} is {'blank' if text else 'empty'}")


def _with_numbers(path: str, render: Any) -> str:
    try:
        return render()
    except ValueError as error:
        what = f"{_quoted(path)} holds the number {error}"
        message = f"{what}, which cannot be written exactly: make it text"
        raise RowProblem(path, "number", message) from error


def _unsupported(path: str) -> RowProblem:
    return RowProblem(path, "unsupported", f"{path}: tool use cannot be trained on yet")


def _object_lines(value: dict[str, Any]) -> list[str]:
    lines: list[str] = []
    previous = 0
    for key in sorted(value, key=_javascript_order):
        entry = _entry_lines(key, value[key])
        if not entry:
            continue
        if previous > 1 or (previous == 1 and len(entry) > 1):
            lines.append("")
        lines += entry
        previous = len(entry)
    return lines


def _entry_lines(key: str, value: Any) -> list[str]:
    lines = _value_lines(value)
    if not lines:
        return []
    if isinstance(value, dict):
        return [f"{_label(key)}:", *map(_indented, lines)]
    if len(lines) > 1 or isinstance(value, list):
        return [f"{_label(key)}:", *lines]
    return [f"{_label(key)}: {lines[0]}"]


def _value_lines(value: Any) -> list[str]:
    if isinstance(value, str):
        return [] if is_blank(value) else _whole(value).strip("\r\n").split("\n")
    if isinstance(value, bool):
        return ["true" if value else "false"]
    if _is_number(value):
        return [_number(value)]
    if isinstance(value, list):
        return [line for item in value for line in _bullet_lines(item)]
    return _object_lines(value) if isinstance(value, dict) else []


def _bullet_lines(item: Any) -> list[str]:
    return [
        f"- {line}" if index == 0 else _indented(line)
        for index, line in enumerate(_value_lines(item))
    ]


def _indented(line: str) -> str:
    return f"  {line}" if line else ""


def _label(key: str) -> str:
    words = re.sub("[_ \t\r\n]+", " ", _whole(key)).strip(" ")
    words = re.sub("([a-z])([A-Z])", r"\1 \2", words)
    return (words[:1].upper() + words[1:] if "a" <= words[:1] <= "z" else words) or key


def _javascript_order(key: str) -> tuple[bool, int]:
    """Whole numbers first, ascending; the rest as written (sorting keeps the order of equals)."""
    whole = re.fullmatch("0|[1-9][0-9]{0,9}", key) is not None and int(key) < 2**32 - 1
    return (not whole, int(key) if whole else 0)


def _number(value: float) -> str:
    if value != 0 and not 0.0001 <= abs(value) <= _LARGEST:
        raise ValueError(value)
    return str(int(value)) if value == int(value) else repr(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _whole(text: str) -> str:
    """Text with a UTF-8 form: halves of surrogate pairs have none."""
    return _HALF.sub("\ufffd", text)


def _describe(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "text"
    if _is_number(value):
        return f"a number ({value})"
    return "an array" if isinstance(value, list) else "an object"


def _quoted(text: str) -> str:
    """Foreign text, short enough for a message and on one line."""
    text = _whole(text)
    shown = f"{text[:40]}..." if len(text) > 40 else text
    return '"' + shown.encode("unicode_escape").decode("ascii").replace('"', '\\"') + '"'
