"""Canonical rows -> tokens and labels: exactly the answers are trained, token by token.

A row is `{"messages": [...], "tools"?}` or `{"text"}`. It is written with the model's own chat
template as inference will write it: the prompt ends with the generation prompt, the answer starts
behind it and ends with the end-of-turn token, which is trained too (a model that never saw it
trained never stops).
"""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from .canonical import Row
from .chat import Answer, Chat
from .config import Settings
from .errors import TrainingError
from .events import Story

IGNORED = -100  # the label that torch's cross-entropy skips


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
    chat: Chat = field(init=False)
    _shown: set[str] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        self.chat = Chat(self.tokenizer)

    def render(self, row: Row) -> list[Sample]:
        """The sequences of a row: one, or one an answer if the template rewrites earlier turns."""
        if "text" in row:
            return [self._text(row["text"])]
        for part in parts_of(row):
            if part.kind not in self._shown:
                self._refuse_hidden(part, row)
                self._shown.add(part.kind)
        return list(self._conversation(row["messages"], row.get("tools")))

    def prompt(self, messages: Sequence[Row], tools: str | None = None) -> list[int]:
        """Tokens that an answer to `messages` starts from."""
        return self.chat.encode(self.chat.write(messages, tools, prompt=True))

    def tell(self, story: Story) -> None:
        """Says once what of the template's ways a user should know."""
        if self.chat.family is None:
            reason = (
                "the chat template is of no family that Moxi knows: what a prompt lacks is trained"
            )
            story.decide("answers", "by prompt", reason)
        else:
            reason = "the chat template writes as this family's, whose answers Moxi's own marks"
            if self.chat.unlike:
                reason += f"; {self.chat.unlike} answers that it writes otherwise: by prompt"
            story.decide("answers", self.chat.family.name, reason)
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

    def _conversation(self, messages: Sequence[Row], tools: str | None) -> Iterable[Sample]:
        ids: list[int] = []
        labels: list[int] = []
        for index, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            start, whole = self._answer(self.chat.answer(messages[: index + 1], tools))
            if whole[: len(ids)] != ids:
                # The template rewrites earlier turns (drops their reasoning, say): for this answer
                # inference sees another sequence than the one so far, so that one ends here.
                self.rewritten += 1
                if set(labels) != {IGNORED}:
                    yield Sample(ids, labels)
                ids, labels = [], []
            answer = whole[start:]
            learned = message.get("weight") != 0
            labels += [IGNORED] * (start - len(ids))
            labels += answer if learned else [IGNORED] * len(answer)
            ids = whole
        if ids:
            yield Sample(ids, labels)

    def _answer(self, answer: Answer) -> tuple[int, list[int]]:
        """(where the answer starts, the tokens of the conversation up to its end)."""
        self.other_header += not answer.header
        prompt = self.chat.encode(answer.text[: answer.start])
        start, whole = self._join(prompt, self.chat.encode(answer.text[: answer.end]))
        if answer.end is None:
            return start, whole[: self._end(whole, start)]
        self.endless += whole[-1] not in self.stop_ids
        return start, whole

    def _refuse_hidden(self, part: "Part", row: Row) -> None:
        """Nothing that an answer rests on may be left out by the template without a word."""
        changed = part.replaced(row)
        messages, tools = changed["messages"], changed.get("tools")
        # Some templates show a system turn in prompts alone, others their last answer alone.
        if PROBE in self.chat.write(messages, tools):
            return
        if PROBE in self.chat.write(messages[:-1], tools, prompt=True):
            return
        raise TrainingError(
            "template-drops",
            f"the model's chat template leaves out {part.kind}, which rows of this dataset have",
            "Take them out of the rows, or choose a model whose template shows them.",
        )

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


PROBE = "moxiprobe"


@dataclass(frozen=True)
class Part:
    """Something of a conversation that templates may leave out; `at` is the message that has it."""

    kind: str
    at: int

    def replaced(self, row: Row) -> Row:
        """The row up to this part and the answer to it, with PROBE in the part's place."""
        messages = [dict(message) for message in row["messages"]]
        message = messages[self.at]
        if self.kind == "tools":
            tool = {"type": "function", "function": {"name": PROBE, "parameters": {}}}
            row = {**row, "tools": json.dumps([tool])}
        elif self.kind == "tool calls":
            message["tool_calls"] = [
                call | {"function": call["function"] | {"name": PROBE}}
                for call in message["tool_calls"]
            ]
        elif self.kind == "reasoning":
            message["reasoning_content"] = PROBE
        else:
            message["content"] = PROBE
        answers = (at for at in range(self.at, len(messages)) if _answers(messages[at]))
        return {**row, "messages": messages[: next(answers, len(messages) - 1) + 1]}


def parts_of(row: Row) -> Iterator[Part]:
    """What of a row's conversation not every template shows."""
    if "tools" in row:
        yield Part("tools", 0)
    for at, message in enumerate(row["messages"]):
        if message["role"] in ("system", "developer", "tool"):
            yield Part(f"turns of the {message['role']}", at)
        if "tool_calls" in message:
            yield Part("tool calls", at)
        if "reasoning_content" in message:
            yield Part("reasoning", at)


def _answers(message: Row) -> bool:
    return message["role"] == "assistant"


def fitting(
    samples: Sequence[Sample], limit: int, overlong: str, name: str, story: Story
) -> list[Sample]:
    """The samples of at most `limit` tokens that train something; tells how many are not.

    A longer one is left out whole ("drop"; cut, it would teach an answer that stops in its middle),
    cut behind the limit ("truncate"; left out if no token to train is left), or refused ("error").
    """
    too_long = sum(len(sample.ids) > limit for sample in samples)
    if too_long and overlong == "error":
        raise TrainingError(
            "rows-too-long",
            f"{too_long} of {len(samples)} rows are longer than {limit} tokens, the longest"
            f" {max(len(sample.ids) for sample in samples)}",
            "Shorten them, raise maxSeqLength, or set overlong to drop or truncate.",
        )
    reason = f"{too_long or 'none'} of {len(samples)} are longer than {limit} tokens"
    if overlong == "truncate":
        cut = [Sample(sample.ids[:limit], sample.labels[:limit]) for sample in samples]
        kept = [sample for sample in cut if sample.trained]
        shortened = sum(
            len(whole.ids) > limit and part.trained > 0
            for whole, part in zip(samples, cut, strict=True)
        )
        if too_long:
            reason += f": {shortened} of them are cut there"
    else:
        kept = [sample for sample in samples if len(sample.ids) <= limit and sample.trained]
    empty = sum(not sample.trained for sample in samples)
    if empty:
        reason += f"; {empty} have no token to train"
    story.decide(name, len(samples) - len(kept), reason)
    return kept


def decide_limit(
    settings: Settings, samples: Sequence[Sample], context: int | None, story: Story
) -> int:
    """The longest sequence to train on: nearly all rows whole, without paying for a few giants."""
    limit = settings.max_seq_length
    reason = "as asked"
    if limit is None and settings.overlong == "error":
        limit = max(len(sample.ids) for sample in samples)
        reason = "the longest row: none may be dropped or cut"
    elif limit is None:
        lengths = sorted(len(sample.ids) for sample in samples)
        reach = lengths[math.ceil(0.995 * len(lengths)) - 1]
        limit = 64 * math.ceil(reach / 64)
        reason = f"99.5 % of the rows have at most {reach} tokens, the longest {lengths[-1]}"
    if context is not None and limit > context:
        limit, reason = context, f"the model's context; wanted {limit}: {reason}"
    story.decide("max length", limit, reason)
    return limit


def _common_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    for position, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return position
    return min(len(first), len(second))
