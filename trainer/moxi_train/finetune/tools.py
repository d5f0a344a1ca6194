"""Tools and calls of them, as rows give them -> as canonical rows do."""

from collections.abc import Callable
from typing import Any

from .exact import Inexact, exact_json, parse_exact
from .problem import RowProblem, describe, is_blank, refuse_blank, text_at


def read_tools(value: Any) -> str | None:
    """The JSON text of a row's tools, None if there are none. Raises RowProblem."""
    tools = _parsed(value, "tools")
    if tools is None:
        return None
    if not isinstance(tools, list):
        raise RowProblem("tools", "type", f"tools is {describe(tools)}, not an array")
    if not tools:
        return None
    read = [_tool(tool, f"tools[{index}]") for index, tool in enumerate(tools)]
    return _exactly("tools", lambda: exact_json(read))


def read_tool_calls(message: dict[str, Any], role: str, path: str) -> list[dict[str, Any]] | None:
    """The calls of a message, None if there are none. Raises RowProblem."""
    calls = message.get("tool_calls")
    if calls is None:
        return None
    if not isinstance(calls, list):
        raise RowProblem(path, "type", f"{path} is {describe(calls)}, not an array")
    if not calls:
        return None
    if role != "assistant":
        raise RowProblem(path, "role", f"{path}: only the assistant calls tools")
    return [_call(call, f"{path}[{index}]") for index, call in enumerate(calls)]


def _tool(tool: Any, path: str) -> dict[str, Any]:
    if not isinstance(tool, dict):
        raise RowProblem(path, "type", f"{path} is {describe(tool)}, not an object")
    described = tool.get("function")
    if described is None:
        _name(tool, f"{path}.name")
        return {"type": "function", "function": tool}
    if not isinstance(described, dict):
        where = f"{path}.function"
        raise RowProblem(where, "type", f"{where} is {describe(described)}, not an object")
    _name(described, f"{path}.function.name")
    return tool


def _call(call: Any, path: str) -> dict[str, Any]:
    if not isinstance(call, dict):
        raise RowProblem(path, "type", f"{path} is {describe(call)}, not an object")
    nested = call.get("function")
    where = path if nested is None else f"{path}.function"
    if nested is not None and not isinstance(nested, dict):
        raise RowProblem(where, "type", f"{where} is {describe(nested)}, not an object")
    named = call if nested is None else nested
    name = _name(named, f"{where}.name")
    place = f"{where}.arguments"
    given = _parsed(named.get("arguments"), place)
    if given is None:
        given = {}
    if not isinstance(given, dict):
        raise RowProblem(place, "type", f"{place} is {describe(given)}, not an object")
    arguments = _exactly(place, lambda: exact_json(given))
    made = {"function": {"name": name, "arguments": arguments}}
    return made if call.get("id") is None else {"id": text_at(call["id"], f"{path}.id"), **made}


def _parsed(value: Any, path: str) -> Any:
    """A value that may be given as its JSON text; blank text is none."""
    if not isinstance(value, str):
        return value
    return None if is_blank(value) else _exactly(path, lambda: parse_exact(value))


def _exactly(path: str, act: Callable[[], Any]) -> Any:
    try:
        return act()
    except Inexact as error:
        raise RowProblem(path, error.reason, f"{path} {error}") from error


def _name(owner: dict[str, Any], path: str) -> str:
    name = text_at(owner.get("name"), path)
    refuse_blank(name, path)
    return name
