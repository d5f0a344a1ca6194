"""Whether a loss does not fall: a test that looks seldom, because every look may be wrong.

The losses of single steps differ by their rows, often by a fifth and more. The means of the first
and of the last third of all steps differ by chance as well, by a known standard error (Welch's):
what chance may hide is not called flat, and what chance may have made is not called a fall.
"""

import math
from statistics import fmean, variance

LEAST = 0.03  # of the training loss: sensible rates win far more in a tenth of a run
LEAST_HELD_OUT = 0.01  # of the held-out loss, which the same rows make every time
SURE = 4.0  # standard errors: one look in 30,000 errs when the means differ by LEAST
SPREAD = 1.5  # times the steps of one look are those of the next: six looks until 500 steps


class Flatness:
    """Gets every loss from the first step on; tells when it is surely flat."""

    def __init__(self, first_look: int):
        self._next = first_look  # steps
        self._losses: list[float] = []
        self._decided = False

    def step(self, loss: float, held_out: tuple[float, float] | None) -> str | None:
        """What is flat, in words, once. `held_out`: the first and the newest held-out loss."""
        if self._decided:
            return None
        self._losses.append(loss)
        if len(self._losses) < self._next:
            return None
        self._next = math.ceil(SPREAD * self._next)
        return self._look(held_out)

    def _look(self, held_out: tuple[float, float] | None) -> str | None:
        third = len(self._losses) // 3
        first, last = self._losses[:third], self._losses[-third:]
        before, after = fmean(first), fmean(last)
        error = math.sqrt((variance(first) + variance(last)) / third)
        if before - after > SURE * error:
            self._decided = True  # it falls
            return None
        seen = f"{before:.3f} at first, {after:.3f} now"
        if held_out is not None:
            start, now = held_out
            flat = now > (1 - LEAST_HELD_OUT) * start
            seen += f"; on the held-out rows {start:.3f} and {now:.3f}"
        else:
            flat = before - after + SURE * error < LEAST * before
        self._decided = flat or held_out is not None
        return f"the loss has not fallen in {len(self._losses)} steps ({seen})" if flat else None
