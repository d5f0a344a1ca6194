"""The order in which rows are trained."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch.utils.data import Sampler


class StepSampler(Sampler[int]):
    """Rows in an order that follows from seed and epoch alone.

    Which rows make a step is left to chance. Steps of rows of similar length would need less
    padding, but short rows would then weigh more than their tokens (each step's loss is the mean of
    its own), and what is learned is worse: see docs/performance.md. Within a step the rows stand by
    length, so that those of a micro-batch are alike; how the machine cuts a step into micro-batches
    changes nothing.
    """

    def __init__(self, lengths: Sequence[int], batch: int, seed: int, epoch: Callable[[], int]):
        self._lengths = lengths
        self._batch = batch
        self._seed = seed
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        random = torch.Generator().manual_seed(self._seed * 1_000_003 + self._epoch())
        order = torch.randperm(len(self), generator=random).tolist()
        for start in range(0, len(order), self._batch):
            yield from sorted(order[start : start + self._batch], key=self._lengths.__getitem__)
