"""Alerts that a person would give who watches every step, in plain words.

The thresholds are rules of ours, set so that a healthy run never meets them; each stands with its
reason. One that fires on a healthy run costs more than one that comes late.
"""

import math
from collections import deque
from statistics import fmean, median, stdev

from .events import Story
from .flat import Flatness

WINDOW = 20  # steps that a mean is taken over: single steps differ by their rows
EXPLODED = 10  # times the usual gradient; clipping alone deals with a single spike, hence IN_A_ROW
IN_A_ROW = 3
DIVERGED = 1.5  # times the lowest mean so far, and half a nat more, both beyond the noise
DIVERGED_NATS = 0.5
OVERFIT = 1.05  # times the lowest held-out loss, twice in a row, while the training loss falls
WAITING = 0.25  # of the time; below it, a faster loader cannot make a run a third faster
WAITING_SECONDS = 2.0  # in a window: tiny steps wait for microseconds, which nobody minds


class Watch:
    """Sees every step and evaluation, and says once what is wrong."""

    def __init__(self, story: Story, steps: int, warmup_steps: int):
        self._story = story
        self._flatness = Flatness(max(warmup_steps + 3 * WINDOW, steps // 10))
        self._from_the_start = False  # a run that goes on has fallen before
        self._losses: deque[float] = deque(maxlen=WINDOW)
        self._norms: deque[float] = deque(maxlen=WINDOW)
        self._times: deque[tuple[float, float]] = deque(maxlen=WINDOW)
        self._lowest_mean: float | None = None
        self._wild = self._zero = 0
        self._held_out: list[tuple[int, float, float | None]] = []

    def step(
        self, step: int, loss: float, grad_norm: float | None, seconds: float, waited: float
    ) -> None:
        """After an optimizer step: `waited` of its `seconds` went into loading its rows."""
        self._losses.append(loss)
        self._times.append((seconds, waited))
        self._from_the_start |= step == 1
        if self._from_the_start:
            self._judge_flat(loss)
        if grad_norm is not None:
            self._judge_gradients(step, grad_norm)
        self._judge_loss(step)
        self._judge_waiting()

    def evaluation(self, step: int, loss: float) -> None:
        trained = fmean(self._losses) if self._losses else None
        self._held_out.append((step, loss, trained))
        best_at, best, trained_then = min(self._held_out, key=lambda each: each[1])
        latest = self._held_out[-2:]
        risen = len(latest) == 2 and all(each[1] > OVERFIT * best for each in latest)
        if not risen or best_at >= latest[0][0] or trained is None:
            return
        if trained_then is not None and trained < trained_then:
            self._story.alert(
                "warning",
                "overfitting",
                f"the held-out loss was lowest at step {best_at} ({best:.3f}) and is {loss:.3f}"
                f" at step {step}, while the training loss still falls: the model learns its rows"
                " by heart",
                "Fewer epochs, more rows or a lower learning rate; earlyStopping ends such a run.",
            )

    def _judge_gradients(self, step: int, norm: float) -> None:
        self._zero = self._zero + 1 if norm == 0 else 0
        if self._zero == IN_A_ROW:
            self._story.alert(
                "warning",
                "gradients-zero",
                f"the gradients are zero since step {step - IN_A_ROW + 1}: nothing is learned",
                "Check that the rows have answers to train on, and that the adapter is not frozen.",
            )
        usual = median(self._norms) if len(self._norms) == WINDOW else None
        wild = usual is not None and 0 < EXPLODED * usual < norm
        self._wild = self._wild + 1 if wild else 0
        if self._wild == IN_A_ROW:
            self._story.alert(
                "warning",
                "gradients-exploding",
                f"the gradients are {norm / usual:.0f} times as large as usual since step"
                f" {step - IN_A_ROW + 1}",
                "Lower learningRate, or raise warmup; look for broken rows.",
            )
        if not wild:  # what is wild must not become usual
            self._norms.append(norm)

    def _judge_loss(self, step: int) -> None:
        if len(self._losses) < WINDOW:
            return
        mean = fmean(self._losses)
        if self._lowest_mean is None or mean < self._lowest_mean:
            self._lowest_mean = mean
        surely = mean - 4 * stdev(self._losses) / math.sqrt(WINDOW)
        if surely > max(DIVERGED * self._lowest_mean, self._lowest_mean + DIVERGED_NATS):
            self._story.alert(
                "warning",
                "loss-rising",
                f"the loss rose from {self._lowest_mean:.2f} to {mean:.2f}"
                f" (means of {WINDOW} steps, now step {step})",
                "Lower learningRate, or raise warmup.",
            )

    def _judge_flat(self, loss: float) -> None:
        scored = [held_out for _, held_out, _ in self._held_out]
        known = (scored[0], scored[-1]) if len(scored) > 1 else None
        flat = self._flatness.step(loss, known)
        if flat is not None:
            self._story.alert(
                "warning",
                "loss-flat",
                flat,
                "Raise learningRate, and check that the answers follow from the prompts.",
            )

    def _judge_waiting(self) -> None:
        seconds, waited = (sum(column) for column in zip(*self._times, strict=True))
        if len(self._times) < WINDOW or waited < WAITING_SECONDS:
            return
        if waited > WAITING * seconds:
            self._story.alert(
                "warning",
                "data-waiting",
                f"{waited / seconds:.0%} of the time goes into loading rows"
                f" ({waited:.1f} of the last {seconds:.1f} s)",
                "Free this machine's processor, or take one with more cores or a faster disk.",
            )
