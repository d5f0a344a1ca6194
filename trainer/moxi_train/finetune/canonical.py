"""Rows of any supported form -> the canonical one, by the rules of the CLI.

`schema/vectors/` holds both languages to them.

Accepted: `{messages: [{role, content, weight?, tool_calls?, ...}], tools?}`, `{instruction, input?,
output | content}` with a text or an object as input, `{prompt, completion}`, `{text}`. A field that
is null counts as absent; other fields are ignored; text is never changed, except that half a
surrogate pair becomes U+FFFD.
"""

import re
from typing import Any

from .exact import javascript_order, number
from .problem import (
    RowProblem,
    describe,
    is_blank,
    is_number,
    outdated,
    quoted,
    refuse_blank,
    text_at,
    whole,
)
from .tools import read_tool_calls, read_tools

Row = dict[str, Any]

ROLES = ("system", "developer", "user", "assistant", "tool")


def canonical_row(row: Any, group_by: str | None = None) -> Row:
    """A row as json.loads gives it -> `{messages}` or `{text}`, and `group` from `group_by`.

    Raises RowProblem for the first thing that is wrong.
    """
    if not isinstance(row, dict):
        raise RowProblem("", "type", f"the row is {describe(row)}, not an object")
    body = _body(row)
    group = None if group_by is None else _group(row, group_by)
    return body if group is None else body | {"group": group}


def render_object(value: dict[str, Any]) -> str:
    """An object as text: labels from keys, one-line values behind them, longer ones below.

    Raises ValueError for a number that JavaScript and Python would not write alike.
    """
    return "\n".join(_object_lines(value))


def _body(row: Row) -> Row:
    if row.get("messages") is not None:
        return _chat(row)
    if row.get("instruction") is not None:
        return _dialogue(_instruction(row), _answer(row))
    if row.get("prompt") is not None:
        return _dialogue(_text(row, "prompt"), _text(row, "completion"))
    if row.get("text") is not None:
        return {"text": _text(row, "text")}
    has = ", ".join(map(quoted, list(row)[:6]))
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
        raise RowProblem("input", "type", f"input is {describe(given)}, not text or an object")
    return instruction if given is None or is_blank(given) else f"{instruction}\n\n{whole(given)}"


def _answer(row: Row) -> str:
    output, content = row.get("output"), row.get("content")
    if output is None and content is None:
        raise RowProblem("output", "missing", "no answer in output or content")
    if output is not None and content is not None and output != content:
        raise RowProblem("output", "conflict", "output and content are both there and differ")
    return _text(row, "content" if output is None else "output")


def _chat(row: Row) -> Row:
    messages = row["messages"]
    if not isinstance(messages, list):
        raise RowProblem("messages", "type", f"messages is {describe(messages)}, not an array")
    if row.get("functions") is not None:
        raise outdated("functions", "tools")
    tools = read_tools(row.get("tools"))
    read = [_message(message, f"messages[{index}]") for index, message in enumerate(messages)]
    if not any(message["role"] == "assistant" and message.get("weight") != 0 for message in read):
        raise RowProblem("messages", "no-assistant", "no turn of the assistant to learn from")
    called = False
    for index, message in enumerate(read):
        called = called or "tool_calls" in message
        if message["role"] == "tool" and not called:
            path = f"messages[{index}].role"
            raise RowProblem(path, "order", f"{path}: a tool answers before any tool was called")
    return {"messages": read} if tools is None else {"messages": read, "tools": tools}


def _message(message: Any, path: str) -> Row:
    if not isinstance(message, dict):
        raise RowProblem(path, "type", f"{path} is {describe(message)}, not an object")
    if message.get("function_call") is not None:
        raise outdated(f"{path}.function_call", "tool_calls")
    role = text_at(message.get("role"), f"{path}.role")
    if role not in ROLES:
        raise RowProblem(
            f"{path}.role", "role", f"{path}.role is {quoted(role)}: use {', '.join(ROLES)}"
        )
    calls = read_tool_calls(message, role, f"{path}.tool_calls")
    given = message.get("content")
    content = "" if given is None and calls else text_at(given, f"{path}.content")
    if role == "assistant" and not calls:
        refuse_blank(content, f"{path}.content")
    read: Row = {"role": role, "content": content}
    weight = message.get("weight")
    if weight is not None:
        if isinstance(weight, bool) or weight not in (0, 1):
            raise RowProblem(f"{path}.weight", "value", f"{path}.weight must be 0 or 1")
        read["weight"] = int(weight)
    if calls:
        read["tool_calls"] = calls
    texts = {"assistant": ("reasoning_content",), "tool": ("tool_call_id", "name")}
    for name in texts.get(role, ()):
        if message.get(name) is not None:
            read[name] = text_at(message[name], f"{path}.{name}")
    return read


def _group(row: Row, name: str) -> str | None:
    group = row.get(name)
    if group is None:
        return None
    if isinstance(group, str):
        return None if is_blank(group) else whole(group)
    if is_number(group):
        return _with_numbers(name, lambda: number(group))
    message = f"{quoted(name)} groups the rows and is {describe(group)}, not text or a number"
    raise RowProblem(name, "type", message)


def _text(row: Row, name: str) -> str:
    text = text_at(row.get(name), name)
    refuse_blank(text, name)
    return text


def _with_numbers(path: str, render: Any) -> str:
    try:
        return render()
    except ValueError as error:
        what = f"{quoted(path)} holds the number {error}"
        message = f"{what}, which cannot be written exactly: make it text"
        raise RowProblem(path, "number", message) from error


def _object_lines(value: dict[str, Any]) -> list[str]:
    lines: list[str] = []
    previous = 0
    for key in sorted(value, key=javascript_order):
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
        return [] if is_blank(value) else whole(value).strip("\r\n").split("\n")
    if isinstance(value, bool):
        return ["true" if value else "false"]
    if is_number(value):
        return [number(value)]
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
    words = re.sub("[_ \t\r\n]+", " ", whole(key)).strip(" ")
    words = re.sub("([a-z])([A-Z])", r"\1 \2", words)
    return (words[:1].upper() + words[1:] if "a" <= words[:1] <= "z" else words) or key
