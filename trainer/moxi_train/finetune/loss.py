"""What a batch is scored by: the cross-entropy of its trained tokens."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from .data import IGNORED, Sample


def answers_loss(model: Any, inputs: dict[str, Any]) -> torch.Tensor:
    """The summed loss of a batch, in nats, without the logits of prompts.

    TRL's fused head needs Triton. Without it, it scores every position in several passes and throws
    those of prompts and padding away; here the head sees none before the first answer.
    """
    labels = inputs["labels"][:, 1:]
    first = int((labels != IGNORED).any(dim=0).int().argmax())
    positions = torch.arange(first, labels.shape[1], device=labels.device)
    seen = {name: value for name, value in inputs.items() if name != "labels"}
    logits = model(**seen, logits_to_keep=positions, use_cache=False).logits
    return cross_entropy(
        logits.flatten(0, 1).float(),
        labels[:, first:].flatten(),
        ignore_index=IGNORED,
        reduction="sum",
    )


def trained_tokens(labels: torch.Tensor) -> int:
    """How many tokens of a batch carry loss: nothing predicts the first of a sequence."""
    return int((labels[:, 1:] != IGNORED).sum())


def eval_batches(samples: Sequence[Sample], size: int, pad: int) -> list[dict[str, torch.Tensor]]:
    """Padded batches of similar lengths. No loader: it would use up random numbers of training."""
    collate = DataCollatorForLanguageModeling(pad_token_id=pad)
    ordered = sorted(samples, key=lambda sample: len(sample.ids))
    return [
        collate(
            [{"input_ids": each.ids, "labels": each.labels} for each in ordered[at : at + size]]
        )
        for at in range(0, len(ordered), size)
    ]
