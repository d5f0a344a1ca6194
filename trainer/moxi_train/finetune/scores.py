"""What the held-out losses so far say: which step was best, and whether it still gets better."""

import math
from collections.abc import Sequence
from typing import Any


def ranked(history: Sequence[dict[str, Any]]) -> list[int]:
    """The scored steps after the first, from the lowest held-out loss; of equals the earlier."""
    return [step for _, step in sorted(_scored(history))]


def best_step(history: Sequence[dict[str, Any]]) -> int | None:
    """The trained step whose held-out loss was lowest so far."""
    return next(iter(ranked(history)), None)


def evaluations_since_best(history: Sequence[dict[str, Any]]) -> int:
    """How many evaluations came after the best one: what early stopping counts."""
    best = best_step(history)
    return 0 if best is None else len({step for _, step in _scored(history) if step > best})


def loss_at(history: Sequence[dict[str, Any]], step: int) -> float:
    return next(loss for loss, at in _scored(history) if at == step)


def _scored(history: Sequence[dict[str, Any]]) -> list[tuple[float, int]]:
    return [
        (entry["eval_loss"], entry["step"])
        for entry in history
        if entry["step"] and math.isfinite(entry.get("eval_loss", math.nan))
    ]
