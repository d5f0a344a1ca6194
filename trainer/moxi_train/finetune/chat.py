"""Conversations as the model's own chat template writes them, and where in them the answers are.

For the families in `templates/` the answers are marked by our own template, which must write the
very same text; otherwise an answer is what stands behind the prompt that inference starts from.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from .canonical import Row
from .errors import TrainingError

TEMPLATES = Path(__file__).parent / "templates"

# Some templates print today's date into the system prompt: the same rows would be other tokens
# every day.
DATE = datetime(2024, 7, 26)

# Around a control token's name in a row, so that it is tokenised as the text that it is; what
# transformers' `encode_marked_chat` reads. Characters for private use: rows lose them.
_START, _END = "\U000f0000", "\U000f0001"

_OTHER = "\ufdd0"  # no character, so that no answer starts with it


@dataclass(frozen=True)
class Family:
    """A generation template, and the arguments that make it write as one family does."""

    name: str
    template: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """The text of a conversation up to an answer, in which that is text[start:end]."""

    text: str
    start: int
    end: int | None  # None: behind the first token that ends a turn
    header: bool  # whether the template opens the answer as it ends a prompt


class Chat:
    """Writes conversations for one tokenizer; roles and tools as canonical rows have them."""

    def __init__(self, tokenizer: Any):
        self.tokenizer = tokenizer
        special = [
            token.content for token in tokenizer.added_tokens_decoder.values() if token.special
        ]
        longest_first = sorted(special, key=len, reverse=True)
        self._control = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
        self.unlike = 0  # conversations that the family's template writes otherwise
        self.family = next((each for each in _families() if self._is_of(each)), None)

    def write(self, messages: Sequence[Row], tools: str | None, prompt: bool = False) -> str:
        """What inference sees; with `prompt`, up to where the next answer starts.

        Raises TrainingError if the template refuses the conversation.
        """
        try:
            return self._render(self._own(tools), messages, tools, prompt)[0]
        except Exception as error:  # templates raise what they like, jinja2's errors among it
            roles = ", ".join(str(message["role"]) for message in messages)
            raise TrainingError(
                "template-refused",
                f"the model's chat template refuses a row with the turns {roles}: {error}",
                "Change the row, or choose a model whose template takes such conversations.",
            ) from error

    def answer(self, messages: Sequence[Row], tools: str | None) -> Answer:
        """The conversation whose last turn is the answer."""
        text = self.write(messages, tools)
        prompt = self.write(messages[:-1], tools, prompt=True)
        if self.family is not None:
            marked = self._marked_answer(self.family, messages, tools)
            if marked is not None and marked[0] == text:
                # Some templates show a system turn only while no answer follows: inference decides.
                whole = prompt + text[slice(*marked[1])]
                return Answer(whole, len(prompt), len(whole), True)
            self.unlike += 1
        if text.startswith(prompt):
            return Answer(text, len(prompt), None, True)
        # Where another answer makes another text: no word of the prompt may be trained.
        other = self.write([*messages[:-1], {"role": "assistant", "content": _OTHER}], tools)
        return Answer(text, _common_prefix(text, other), None, False)

    def encode(self, text: str) -> list[int]:
        """Tokens of what `write` returns; names of control tokens in rows are text.

        Raises TrainingError where the tokenizer makes the token itself of its name.
        """
        if _START not in text and _END not in text:
            return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])
        from transformers.utils.chat_template_utils import encode_marked_chat

        try:
            return encode_marked_chat(self.tokenizer, text)
        except ValueError as error:
            names = dict.fromkeys(re.findall(f"{_START}(.*?){_END}", text, re.DOTALL))
            told = [name for name in names if repr(name) in str(error)] or list(names)
            raise TrainingError(
                "template-refused",
                f"a row types a control token, and the tokenizer cannot write {told[0]} as text",
                "Take it out of the row: training would take it for the token itself.",
            ) from error

    def _own(self, tools: str | None) -> str:
        return self.tokenizer.get_chat_template(tools=tools)

    def _is_of(self, family: Family) -> bool:
        """Whether both templates write the same, and open answers as a prompt ends."""
        alike = False
        for probe in _probes():
            messages, tools = probe["messages"], probe.get("tools")
            try:
                own = self.write(messages, tools)
                prompt = self.write(messages[:-1], tools, prompt=True)
            except TrainingError:
                continue  # no family for a system, say
            marked = self._marked_answer(family, messages, tools)
            if marked is None or marked[0] != own:
                return False
            question = messages[-2]["content"].strip()
            if _behind(question, own[: marked[1][0]]) != _behind(question, prompt):
                return False
            alike = True
        return alike

    def _marked_answer(
        self, family: Family, messages: Sequence[Row], tools: str | None
    ) -> tuple[str, tuple[int, int]] | None:
        """The family's text with the span of the last answer; None if it cannot write it."""
        try:
            text, spans = self._render(
                family.template, messages, tools, marked=True, **family.arguments
            )
        except Exception:
            return None
        return (text, spans[-1]) if spans else None

    def _render(
        self,
        template: str,
        messages: Sequence[Row],
        tools: str | None,
        prompt: bool = False,
        marked: bool = False,
        **arguments: Any,
    ) -> tuple[str, list[tuple[int, int]]]:
        from transformers.utils.chat_template_utils import (
            _compile_jinja_template,
            render_jinja_template,
        )

        # The only way in: transformers turns functions among a template's arguments into text.
        _compile_jinja_template(template).globals["strftime_now"] = DATE.strftime
        system = "developer" if "developer" in self._own(tools) else "system"
        known = None if tools is None else self._marked(json.loads(tools))
        texts, spans = render_jinja_template(
            conversations=[[self._plain(message, system) for message in messages]],
            tools=known,
            chat_template=template,
            add_generation_prompt=prompt,
            return_assistant_tokens_mask=marked,
            date_string=DATE.strftime("%d %b %Y"),
            **self.tokenizer.special_tokens_map,
            **arguments,
        )
        return texts[0], spans[0] if marked else []

    def _plain(self, message: Row, developer: str) -> dict[str, Any]:
        """A message as templates know it: without what is ours, arguments as objects.

        `developer` is what the developer's role is called: few templates know it by its own name.
        """
        plain = {key: self._marked(value) for key, value in message.items() if key != "weight"}
        if message["role"] == "developer":
            plain["role"] = developer
        if "tool_calls" in message:
            plain["tool_calls"] = [self._call(call) for call in message["tool_calls"]]
        return plain

    def _call(self, call: Row) -> dict[str, Any]:
        called = call["function"]
        arguments = self._marked(json.loads(called["arguments"]))
        function = {"name": self._marked(called["name"]), "arguments": arguments}
        identity = {"id": self._marked(call["id"])} if "id" in call else {}
        return {**identity, "type": "function", "function": function}

    def _marked(self, value: Any) -> Any:
        """A row's value with the names of control tokens in all its texts marked, keys included."""
        if isinstance(value, str):
            text = value.replace(_START, "").replace(_END, "")
            return self._control.sub(f"{_START}\\g<0>{_END}", text)
        if isinstance(value, list):
            return [self._marked(item) for item in value]
        if isinstance(value, dict):
            return {self._marked(key): self._marked(item) for key, item in value.items()}
        return value


def _families() -> list[Family]:
    listed = json.loads((TEMPLATES / "families.json").read_text("utf-8"))
    return [
        Family(
            each["name"],
            (TEMPLATES / each["template"]).read_text("utf-8"),
            each.get("with", {}),
        )
        for each in listed
    ]


def _probes() -> list[Row]:
    probes = json.loads((TEMPLATES / "probes.json").read_text("utf-8"))
    return [
        probe | {"tools": json.dumps(probe["tools"])} if "tools" in probe else probe
        for probe in probes
    ]


def _behind(part: str, text: str) -> str:
    return text.rpartition(part)[2]


def _common_prefix(first: str, second: str) -> int:
    for position, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return position
    return min(len(first), len(second))
