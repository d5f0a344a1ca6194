"""Canonical rows -> tokens and labels: exactly the answers are trained, token by token.

A row is `{"messages": [...], "tools"?}` or `{"text"}`. It is rendered with the model's own chat
template as inference will render it: the prompt ends with the generation prompt, the answer starts
behind it and ends with the end-of-turn token, which is trained too (a model that never saw it
trained never stops).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .canonical import Row
from .config import Settings
from .errors import TrainingError
from .events import Story

IGNORED = -100  # the label that torch's cross-entropy skips

# Some templates print today's date into the system prompt: the same rows would be other tokens
# every day.
DATE = datetime(2024, 7, 26)


@dataclass(frozen=True)
class Sample:
    """One sequence; `ids` and `labels` have one length, a label is the token or IGNORED."""

    ids: list[int]
    labels: list[int]

    @property
    def trained(self) -> int:
        """Tokens that carry loss; the first of a sequence has nothing to be predicted from."""
        return sum(label != IGNORED for label in self.labels[1:])


@dataclass
class Renderer:
    """Renders rows with a tokenizer; counts what a user should know about its template."""

    tokenizer: Any
    stop_ids: frozenset[int]  # tokens that end a turn at inference
    rewritten: int = field(default=0, init=False)
    other_header: int = field(default=0, init=False)
    endless: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        from transformers.utils.chat_template_utils import _compile_jinja_template

        # The only way in: transformers turns functions among a template's arguments into text.
        template = _compile_jinja_template(self.tokenizer.get_chat_template())
        template.globals["strftime_now"] = DATE.strftime

    def render(self, row: Row) -> list[Sample]:
        """The sequences of a row: one, or one an answer if the template rewrites earlier turns."""
        if "text" in row:
            return [self._text(row["text"])]
        return list(self._conversation(row["messages"], row.get("tools")))

    def prompt(self, messages: Sequence[Row], tools: Any = None) -> list[int]:
        """Tokens that an answer to `messages` starts from."""
        return self._tokens(messages, tools, add_generation_prompt=True)

    def tell(self, story: Story) -> None:
        """Says once what of the template's ways a user should know."""
        if self.rewritten:
            story.decide(
                "turns split",
                self.rewritten,
                "the chat template rewrites earlier turns: each answer follows what inference sees",
            )
        if self.other_header:
            story.alert(
                "warning",
                "template-header",
                f"the chat template opens {self.other_header} answers otherwise than a prompt does",
                "They are trained from where the two part.",
            )
        if self.endless:
            story.alert(
                "warning",
                "template-endless",
                f"the chat template ends {self.endless} answers without a token to stop at",
                "The model may not learn to stop.",
            )

    def _text(self, text: str) -> Sample:
        ids = list(self.tokenizer(text)["input_ids"])
        end = self.tokenizer.eos_token_id
        if end is not None and ids[-1:] != [end]:
            ids.append(end)
        return Sample(ids, list(ids))

    def _conversation(self, messages: Sequence[Row], tools: Any) -> Iterable[Sample]:
        ids: list[int] = []
        labels: list[int] = []
        for index, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            prompt = self.prompt(messages[:index], tools)
            start, whole = self._join(prompt, self._tokens(messages[: index + 1], tools))
            if whole[: len(ids)] != ids:
                # The template rewrites earlier turns (drops their reasoning, say): for this answer
                # inference sees another sequence than the one so far, so that one ends here.
                self.rewritten += 1
                yield Sample(ids, labels)
                ids, labels = [], []
            end = self._end(whole, start)
            answer = whole[start:end]
            learned = message.get("weight") != 0
            labels += [IGNORED] * (start - len(ids))
            labels += answer if learned else [IGNORED] * len(answer)
            ids = whole[:end]
        if ids:
            yield Sample(ids, labels)

    def _join(self, prompt: list[int], whole: list[int]) -> tuple[int, list[int]]:
        """(where the answer starts, the tokens of the conversation from the prompt's on).

        Inference tokenises the prompt alone. Behind it a tokenizer may cut the same text otherwise
        ("\n\n" before a letter, say); the prompt's own tokens are what the model will see.
        """
        start = _common_prefix(prompt, whole)
        if start == len(prompt):
            return start, whole
        text = self.tokenizer.decode(prompt[start:])
        for end in range(start + 1, len(whole)):
            same = self.tokenizer.decode(whole[start:end])
            if same == text:
                return len(prompt), prompt + whole[end:]
            if len(same) > len(text):
                break
        self.other_header += 1
        return start, whole

    def _end(self, whole: list[int], start: int) -> int:
        """Behind the first token that ends the turn; what the template writes after that goes."""
        for position in range(start, len(whole)):
            if whole[position] in self.stop_ids:
                return position + 1
        self.endless += 1
        return len(whole)

    def _tokens(self, messages: Sequence[Row], tools: Any, **options: Any) -> list[int]:
        try:
            return list(
                self.tokenizer.apply_chat_template(
                    [_plain(message) for message in messages],
                    tools=tools,
                    tokenize=True,
                    return_dict=False,
                    # The text of a row may contain "<|im_end|>" and the like: text it stays.
                    sanitize_control_tokens=True,
                    date_string=DATE.strftime("%d %b %Y"),
                    **options,
                )
            )
        except Exception as error:  # templates raise what they like, jinja2's errors among it
            roles = ", ".join(str(message["role"]) for message in messages)
            raise TrainingError(
                "template-refused",
                f"the model's chat template refuses a row with the turns {roles}: {error}",
                "Change the row, or choose a model whose template takes such conversations.",
            ) from error


def fitting(samples: Sequence[Sample], limit: int, name: str, story: Story) -> list[Sample]:
    """The samples of at most `limit` tokens that train something; tells how many are not.

    A longer one is left out whole: cut, it would teach an answer that stops in the middle.
    """
    kept = [sample for sample in samples if len(sample.ids) <= limit and sample.trained]
    too_long = sum(len(sample.ids) > limit for sample in samples)
    empty = len(samples) - len(kept) - too_long
    reason = f"{too_long or 'none'} of {len(samples)} are longer than {limit} tokens"
    if empty:
        reason += f", {empty} have no token to train"
    story.decide(name, too_long + empty, reason)
    return kept


def decide_limit(
    settings: Settings, samples: Sequence[Sample], context: int | None, story: Story
) -> int:
    """The longest sequence to train on: nearly all rows whole, without paying for a few giants."""
    limit = settings.max_seq_length
    reason = "as asked"
    if limit is None:
        lengths = sorted(len(sample.ids) for sample in samples)
        reach = lengths[math.ceil(0.995 * len(lengths)) - 1]
        limit = 64 * math.ceil(reach / 64)
        reason = f"99.5 % of the rows have at most {reach} tokens, the longest {lengths[-1]}"
    if context is not None and limit > context:
        limit, reason = context, f"the model's context; wanted {limit}: {reason}"
    story.decide("max length", limit, reason)
    return limit


def _plain(message: Row) -> Row:
    """A message without what is ours: templates see role, content and tool calls."""
    return {key: value for key, value in message.items() if key != "weight"}


def _common_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    for position, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return position
    return min(len(first), len(second))
