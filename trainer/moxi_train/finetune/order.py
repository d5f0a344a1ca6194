"""The order in which rows are trained."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch.utils.data import Sampler


class StepSampler(Sampler[int]):
    """Rows in an order that follows from seed and epoch alone.

    Steps of `batch` rows hold rows of similar length, so that little is padding; which rows make a
    step does not depend on how the machine cuts it into micro-batches. The shorter last step of an
    epoch stays last.
    """

    WINDOW = 16  # steps whose rows are sorted by length among themselves

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
        window = self._batch * self.WINDOW
        steps = []
        for start in range(0, len(order), window):
            rows = sorted(order[start : start + window], key=lambda row: self._lengths[row])
            steps += [rows[at : at + self._batch] for at in range(0, len(rows), self._batch)]
        short = [steps.pop()] if len(steps[-1]) < self._batch else []
        shuffled = [steps[index] for index in torch.randperm(len(steps), generator=random).tolist()]
        for step in shuffled + short:
            yield from step
