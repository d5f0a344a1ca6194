"""What happens around the steps: events, evaluations and checkpoints in time, and stopping."""

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

from .alerts import Watch
from .config import Settings
from .events import Story

EVALS = 10  # in a run, about
SAMPLES = 3  # times in a run, about, that the prompts are answered between its first and last step
STEP_PATIENCE = 30.0  # seconds that a stop waits for the step to end: a kill follows after 115


@dataclass(frozen=True)
class Rhythm:
    """After every how many steps to score the held-out rows, to answer the prompts and to save.

    The last step is scored and saved, too; the prompts are answered once more by what is kept.
    """

    evaluate: int
    sample: int
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
        sample = settings.sample_every_steps
        if sample is None:
            sample = evaluate * max(1, round(steps / SAMPLES / evaluate))
            story.decide("steps to sample answers", sample, f"about {SAMPLES} times on the way")
        return Rhythm(evaluate, sample, save, steps)

    def evaluates(self, step: int) -> bool:
        return step % self.evaluate == 0 or step == self.steps

    def samples(self, step: int) -> bool:
        return step % self.sample == 0 and step != self.steps

    def saves(self, step: int) -> bool:
        return step % self.save == 0 or step == self.steps


class Stop:
    """Whether SIGTERM or SIGINT asked this process to end, and what happens then.

    While steps are made the request waits for the step to end, so that a checkpoint holds whole
    steps; a step that takes too long is given up. Outside of them nothing is there that a
    checkpoint does not hold: the process ends at once.
    """

    def __init__(self) -> None:
        self.requested: int | None = None
        self._since = 0.0
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
        if not again:
            self._since = time.monotonic()
        self.requested = number
        # Only a person asks twice and means it: torchrun passes on what we got already.
        if (again and number == signal.SIGINT) or not self.stepping:
            sys.exit(self.exit_code)

    @property
    def overdue(self) -> bool:
        """Whether the request has waited for longer than a step may take."""
        return self.requested is not None and time.monotonic() - self._since > STEP_PATIENCE

    def agree(self, device: torch.device) -> None:
        """Makes one process's request that of all: they have to leave the loop together."""
        if torch.distributed.is_initialized():
            asked = torch.tensor(self.requested or 0, device=device)
            torch.distributed.all_reduce(asked, torch.distributed.ReduceOp.MAX)
            self.requested = int(asked) or None


class Storyteller(TrainerCallback):
    """Tells every optimizer step; asks for evaluations, checkpoints and the end when due."""

    def __init__(
        self,
        story: Story,
        stop: Stop,
        rhythm: Rhythm,
        watch: Watch,
        begin: Callable[[], None],
    ):
        """`begin` is called once, when the weights to start from are in place."""
        self._story = story
        self._begin = begin
        self._stop = stop
        self._rhythm = rhythm
        self._watch = watch
        self.waited = 0.0  # seconds of the step that went into loading its rows
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
        step = state.global_step
        control.should_evaluate = self._rhythm.evaluates(step) or self._rhythm.samples(step)
        control.should_save = self._rhythm.saves(step)
        self._stop.agree(args.device)
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
        step, norm = state.global_step, logs.get("grad_norm")
        seconds = self.tell(args, state, step, logs["loss"], logs["learning_rate"], norm)
        self._watch.step(step, logs["loss"], norm, seconds, self.waited)
        self.waited = 0.0
        if args.world_size == 1:  # several heed what they agreed on at the end of the step
            self._heed_stop(control)

    def tell(
        self,
        args: TrainingArguments,
        state: TrainerState,
        step: int,
        loss: float,
        rate: float,
        norm: float | None,
    ) -> float:
        """Tells a step; returns the seconds that it took."""
        now = time.monotonic()
        seconds, tokens = now - self._since, state.num_input_tokens_seen - self._tokens
        self._since, self._tokens = now, state.num_input_tokens_seen
        self._story.emit(
            "step",
            step=step,
            steps=state.max_steps,
            epoch=state.epoch,
            loss=loss,
            learningRate=rate,
            gradNorm=norm,
            tokens=state.num_input_tokens_seen,
            tokensPerSecond=tokens / seconds if seconds > 0 else None,
            memoryBytes=peak_memory(args.device),
            seconds=seconds,
        )
        return seconds

    def _heed_stop(self, control: TrainerControl) -> None:
        if self._stop.requested:
            control.should_evaluate = False
            control.should_save = control.should_training_stop = True

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float],
        **_: Any,
    ) -> None:
        self._since = time.monotonic()
        if "eval_loss" in metrics:
            self._watch.evaluation(state.global_step, metrics["eval_loss"])

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
