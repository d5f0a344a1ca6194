"""Takes secrets out of what is told: a library that prints its headers must not publish a token."""

import base64
import json
from collections.abc import Iterator, Mapping
from urllib.parse import quote

SHORTEST = 6  # shorter is no secret, and is found in any text


class Redactor:
    """Replaces each value, also as JSON, URLs and HTTP headers write it, by its variable's name."""

    def __init__(self, secrets: Mapping[str, str]):
        found = {form: f"[{name}]" for name, value in secrets.items() for form in forms(value)}
        # The longest first: one value may begin as another does.
        self.replaced = sorted(found.items(), key=lambda pair: -len(pair[0]))

    def text(self, text: str, is_cut: bool = False) -> str:
        """`is_cut`: the text ends where it did not end by itself, perhaps within a value."""
        for form, name in self.replaced:
            text = text.replace(form, name)
        if is_cut:
            for form, _ in self.replaced:
                shown = range(min(len(form), len(text)), 0, -1)
                text = text[: len(text) - next((n for n in shown if text.endswith(form[:n])), 0)]
        return text

    def body(self, value: object) -> object:
        """The same in every text of a JSON value."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.body(each) for each in value]
        if isinstance(value, dict):
            return {self.text(key): self.body(each) for key, each in value.items()}
        return value


def forms(value: str) -> Iterator[str]:
    plain = (value, json.dumps(value)[1:-1], quote(value, safe=""))
    yield from (form for form in (*plain, *in_base64(value.encode())) if len(form) >= SHORTEST)


def in_base64(value: bytes) -> Iterator[str]:
    """How it looks within longer data, as in "Authorization: Basic": one form for each offset."""
    for offset, first in ((0, 0), (1, 2), (2, 3)):
        encoded = base64.b64encode(bytes(offset) + value).decode()
        # The characters at both ends also depend on what stands around it.
        last = (offset + len(value)) * 8 // 6
        yield encoded[first:last]
