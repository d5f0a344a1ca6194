"""What happens around the steps: events, evaluations and checkpoints in time, and stopping."""

import math
import resource
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from .config import Settings
from .errors import TrainingError
from .events import Story

EVALS = 10  # in a run, about


@dataclass(frozen=True)
class Rhythm:
    """After every how many steps to score the held-out rows and to save; the last does both."""

    evaluate: int
    save: int
    steps: int

    @staticmethod
    def of(steps: int, settings: Settings, story: Story) -> "Rhythm":
        evaluate = settings.eval_every_steps
        if evaluate is None:
            evaluate = max(1, round(steps / EVALS))
            story.decide("steps to an evaluation", evaluate, f"about {EVALS} in {steps} steps")
        save = settings.save_every_steps
        if save is None:
            save = evaluate
            story.decide("steps to a checkpoint", save, "one with every evaluation")
        return Rhythm(evaluate, save, steps)

    def evaluates(self, step: int) -> bool:
        return step % self.evaluate == 0 or step == self.steps

    def saves(self, step: int) -> bool:
        return step % self.save == 0 or step == self.steps


class Stop:
    """Whether SIGTERM or SIGINT asked this process to end, and what happens then.

    While steps are made the request waits for the step to end, so that a checkpoint holds whole
    steps. Outside of them nothing is there that a checkpoint does not hold: the process ends at
    once.
    """

    def __init__(self) -> None:
        self.requested: int | None = None
        self.stepping = False

    def listen(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)

    @property
    def exit_code(self) -> int:
        """128 and the signal's number, as shells count."""
        return 128 + (self.requested or 0)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        again = self.requested is not None
        self.requested = number
        if again or not self.stepping:
            sys.exit(self.exit_code)


class Storyteller(TrainerCallback):
    """Tells every optimizer step; asks for evaluations, checkpoints and the end when due."""

    def __init__(self, story: Story, stop: Stop, rhythm: Rhythm, begin: Callable[[], None]):
        """`begin` is called once, when the weights to start from are in place."""
        self._story = story
        self._begin = begin
        self._stop = stop
        self._rhythm = rhythm
        self._since = time.monotonic()
        self._tokens = 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._begin()
        self._stop.stepping = True
        self._tokens = state.num_input_tokens_seen
        self._since = time.monotonic()

    def on_train_end(self, *_: Any, **__: Any) -> None:
        self._stop.stepping = False

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        control.should_evaluate = self._rhythm.evaluates(state.global_step)
        control.should_save = self._rhythm.saves(state.global_step)
        self._heed_stop(control)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float],
        **_: Any,
    ) -> None:
        if "loss" not in logs:
            return
        now = time.monotonic()
        seconds, tokens = now - self._since, state.num_input_tokens_seen - self._tokens
        self._since, self._tokens = now, state.num_input_tokens_seen
        self._story.emit(
            "step",
            step=state.global_step,
            steps=state.max_steps,
            epoch=state.epoch,
            loss=logs["loss"],
            learningRate=logs["learning_rate"],
            gradNorm=logs.get("grad_norm"),
            tokens=state.num_input_tokens_seen,
            tokensPerSecond=tokens / seconds if seconds > 0 else None,
            memoryBytes=peak_memory(args.device),
            seconds=seconds,
        )
        if not math.isfinite(logs["loss"]):
            raise TrainingError(
                "loss-not-finite",
                f"the loss became {logs['loss']} in step {state.global_step}",
                "Lower the learning rate; the last checkpoint is from before.",
            )

        self._heed_stop(control)

    def _heed_stop(self, control: TrainerControl) -> None:
        if self._stop.requested:
            control.should_evaluate = False
            control.should_save = control.should_training_stop = True

    def on_evaluate(self, *_: Any, **__: Any) -> None:
        self._since = time.monotonic()

    def on_save(self, *_: Any, **__: Any) -> None:
        self._since = time.monotonic()


def peak_memory(device: torch.device) -> int:
    """Bytes: the device's peak on a GPU, else the process's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if device.type == "mps":
        return torch.mps.driver_allocated_memory()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
