"""Answers to fixed prompts, the same before, during and after training."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from .canonical import Row
from .config import Settings
from .data import Renderer
from .events import Story

if TYPE_CHECKING:
    from .callbacks import Stop

DEFAULT_PROMPTS = 2
NO_REPEAT = 10  # tokens: without such a rule, greedy answers of small models run in circles
TEXT_START = 200  # characters of a plain text that a continuation starts from


@dataclass(frozen=True)
class Prompt:
    shown: str
    ids: list[int]


def choose_prompts(
    settings: Settings,
    rows: Sequence[Row],
    renderer: Renderer,
    context: int | None,
    story: Story,
) -> list[Prompt]:
    """The user's prompts, else the first rows' up to their first answer, if an answer has room."""
    asked = [{"messages": [{"role": "user", "content": text}]} for text in settings.prompts]
    prompts = [_prompt_of(row, renderer) for row in asked or rows[:DEFAULT_PROMPTS]]
    room = math.inf if context is None else context - settings.generation_tokens
    fitting = [prompt for prompt in prompts if len(prompt.ids) <= room]
    if len(fitting) < len(prompts):
        story.alert(
            "warning",
            "prompt-too-long",
            f"{len(prompts) - len(fitting)} prompts leave no room in a context of {context} tokens",
            "They get no sample answer: shorten them, or lower generationTokens.",
        )
    return fitting


def answer(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Prompt],
    tokens: int,
    step: int,
    story: Story,
    stop: "Stop",
) -> None:
    """Tells what the model answers to each prompt: greedily, so that the weights alone decide.

    Nothing more is told once the process was asked to stop.
    """
    import torch
    from transformers import StoppingCriteriaList

    def asked(ids: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        return torch.full((len(ids),), stop.requested is not None, device=ids.device)

    model.eval()
    for index, prompt in enumerate(prompts):
        ids = torch.tensor([prompt.ids], device=model.device)
        with torch.no_grad():
            output = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=tokens,
                do_sample=False,
                temperature=None,
                top_p=None,
                top_k=None,
                no_repeat_ngram_size=NO_REPEAT,
                pad_token_id=tokenizer.pad_token_id,
                stopping_criteria=StoppingCriteriaList([asked]),
            )
        if stop.requested is not None:
            return
        text = tokenizer.decode(output[0, len(prompt.ids) :], skip_special_tokens=True)
        story.emit("generation", step=step, index=index, prompt=prompt.shown, text=text)


def _prompt_of(row: Row, renderer: Renderer) -> Prompt:
    if "text" in row:
        start = row["text"][:TEXT_START]
        return Prompt(start, list(renderer.tokenizer(start)["input_ids"]))
    before = list(takewhile(lambda message: message["role"] != "assistant", row["messages"]))
    return Prompt(
        before[-1]["content"] if before else "", renderer.prompt(before, row.get("tools"))
    )
