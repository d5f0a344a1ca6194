"""The training: TRL's SFTTrainer with our settings, and four places that need more than those.

1. The order of rows follows from seed and epoch alone: a resumed run sees what it would have seen.
2. The held-out loss is the sum over tokens by their number, not a mean of batch means.
3. Checkpoints are whole or not there.
4. Off the GPU the loss is computed without the prompts' logits.
"""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft.helpers import disable_input_dtype_casting
from transformers import PrinterCallback, TrainerState

from . import checkpoint
from .adapter import keep_precise
from .alerts import Watch
from .arguments import arguments, set_schedule
from .batches import Batches
from .callbacks import Rhythm, Stop, Storyteller
from .checkpoint import Checkpoint
from .config import Settings
from .data import Sample
from .errors import TrainingError, first_line, is_out_of_memory
from .events import Story
from .loss import answers_loss, eval_batches, trained_tokens
from .model import Machine
from .order import StepSampler
from .resumable import TRAINER_STATE, ResumableTrainer
from .scores import best_step, evaluations_since_best, loss_at, ranked
from .task_hash import task_hash


class _GivenUp(Exception):
    """A step took too long for a process that was asked to stop."""


class Trainer(ResumableTrainer):
    """Trains on rows that are tokenised and masked already."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        settings: Settings,
        machine: Machine,
        batches: Batches,
        train: Sequence[Sample],
        held_out: Sequence[Sample],
        checkpoints: Path,
        story: Story,
        stop: Stop,
        begin: Callable[["Trainer"], None],
        sample: Callable[[int], None],
    ):
        """`begin` is called once the weights to start from are in place, before any step.

        `sample` answers the prompts with the weights of a step.
        """
        self._stop = stop
        self._settings = settings
        self._batches = batches
        self._sample = sample
        self._step_rows = batches.micro * batches.accumulation * machine.processes
        super().__init__(
            checkpoints,
            task_hash(settings, train),
            story,
            model=model,
            processing_class=tokenizer,
            args=arguments(settings, machine, batches, checkpoints),
            train_dataset=Dataset.from_dict(
                {
                    "input_ids": [each.ids for each in train],
                    "labels": [each.labels for each in train],
                }
            ),
        )
        keep_precise(self.model)
        # PEFT casts what goes into an adapter to its fp32. Autocast casts it back at once: a copy
        # of every input that nobody needs. Only there: generation runs outside autocast.
        self._uncast = bool(settings.method != "full" and self.args.bf16)
        if self._uncast:
            story.decide("adapter inputs", "uncast", "autocast chooses bfloat16 anyway")
        head = "fused" if machine.kind == "cuda" else "answers"
        reason = "logits of few tokens at a time" if head == "fused" else "no logits of prompts"
        story.decide("loss head", head, reason)
        # TRL divides the loss by the trained tokens of the whole optimizer step, whatever the model
        # class says of itself; only then does a short last accumulation window weigh what it holds.
        self.model_accepts_loss_kwargs = True
        per_epoch = math.ceil(len(self.train_dataset) / self._step_rows)
        self.steps = math.ceil(per_epoch * settings.epochs)
        reason = f"{settings.epochs:g} times {len(train)} sequences"
        if settings.max_steps is not None:
            self.steps = self.args.max_steps = min(self.steps, settings.max_steps)
            reason = f"a rehearsal's share of {reason}"
        set_schedule(self.args, settings, self.steps)
        story.decide("steps", self.steps, f"{reason}, {settings.effective_batch} a step")
        self._rhythm = Rhythm.of(self.steps, settings, story)
        self._begin = lambda: begin(self)
        self.remove_callback(PrinterCallback)
        watch = Watch(story, self.steps, self.args.warmup_steps)
        self._storyteller = Storyteller(story, stop, self._rhythm, watch, self._begin)
        self.add_callback(self._storyteller)
        self._held_out_rows = len(held_out)
        self._held_out = eval_batches(held_out, batches.evaluation, tokenizer.pad_token_id)

    def start(self, resumed: Checkpoint | None) -> None:
        """Trains to the end, from the start or from a checkpoint of the same task."""
        if resumed is None:
            self._train()
            return
        if resumed.task != self._task:
            raise TrainingError(
                "checkpoints-foreign",
                f"{self._checkpoints} has checkpoints of a run with other rows or settings",
                "Choose another output folder, or remove that one.",
            )
        state = TrainerState.load_from_json(str(resumed.path / TRAINER_STATE))
        if resumed.step < self.steps and not self._is_stale(state):
            self._train(str(resumed.path))
            return
        self._load_from_checkpoint(str(resumed.path))
        self.state = state
        self._begin()

    def keep(self) -> int:
        """Puts the weights that the artifact shall hold into the model; returns their step."""
        last, history = self.state.global_step, self.state.log_history
        name, scored = "kept step", ranked(history)
        if self._settings.keep == "last":
            self._story.decide(name, last, "the last, as asked")
            return last
        if not scored:
            self._story.decide(name, last, "the last: no held-out loss tells which is best")
            return last
        for step in scored:
            found = None if step == last else checkpoint.find(self._checkpoints, step)
            if step == last or found is not None:
                break
            self._story.alert(
                "warning",
                "best-lost",
                f"the checkpoint of step {step}, the best, is not whole any more",
                "The best of those that are left is kept.",
            )
        else:
            self._story.decide(name, last, "the last: no better one is left")
            return last
        if found is not None:
            self._load_from_checkpoint(str(found.path))
        count = f"the lowest held-out loss of {len(scored)}: {loss_at(history, step):.4f}"
        self._story.decide(name, step, count)
        return step

    def _train(self, resume_from: str | None = None) -> None:
        try:
            self.train(resume_from_checkpoint=resume_from)
        except _GivenUp:
            self._save_before()
        except Exception as error:
            if is_out_of_memory(error):
                raise self._out_of_memory(error) from error
            raise
        finally:
            self._stop.stepping = False

    def _is_stale(self, state: TrainerState) -> bool:
        """Whether early stopping has ended this training."""
        patience = self._settings.early_stopping
        return patience is not None and evaluations_since_best(state.log_history) >= patience

    def _out_of_memory(self, error: Exception) -> TrainingError:
        micro, longest = self._batches.micro, max(map(len, self.train_dataset["input_ids"]))
        if self._batches.pack is None and micro > 1:
            hint = f"Set microBatch to {micro // 2}: the learning stays the same."
        elif not self._batches.checkpointing:
            hint = "Set gradientCheckpointing to true: the same learning, slower, in less memory."
        elif self._settings.method == "full":
            hint = "Set method to lora, lower maxSeqLength, or take a smaller model."
        else:
            hint = "Lower maxSeqLength, or take a smaller model."
        what = f"{micro} sequences of up to {longest} tokens at once"
        message = f"out of memory with {what}: {first_line(error)}"
        return TrainingError("out-of-memory", message, hint)

    @property
    def lacks_eval(self) -> bool:
        """Whether this step should have been scored and was not: a stop came in between."""
        step = self.state.global_step
        known = {entry["step"] for entry in self.state.log_history if "eval_loss" in entry}
        due = bool(self._held_out) and self._rhythm.evaluates(step)
        return step not in known and (step == 0 or due)

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> StepSampler:
        lengths = [len(ids) for ids in self.train_dataset["input_ids"]]
        return StepSampler(
            lengths, self._step_rows, self.args.seed, lambda: int(self.state.epoch or 0)
        )

    def get_batch_samples(self, *given: Any, **named: Any) -> Any:
        started = time.monotonic()
        samples = super().get_batch_samples(*given, **named)
        self._storyteller.waited += time.monotonic() - started
        return samples

    def training_step(self, *given: Any, **named: Any) -> torch.Tensor:
        # Several processes would wait for the one that gave up: they finish the step.
        if self._stop.overdue and self.args.world_size == 1:
            raise _GivenUp
        with disable_input_dtype_casting(self.model, active=self._uncast):
            return super().training_step(*given, **named)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | None = None,
    ) -> torch.Tensor:
        if self.args.device.type == "cuda":
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        processes = self.accelerator.num_processes if self.args.average_tokens_across_devices else 1
        return answers_loss(model, inputs) / num_items_in_batch * processes

    def _clip_grad_norm(self, model: Any) -> Any:
        norm = super()._clip_grad_norm(model)
        if not math.isfinite(norm):
            self._end_before_nan()
        return norm

    def _end_before_nan(self) -> None:
        """Gradients that are no numbers would make every weight none: the step is not done."""
        step, loss = self.state.global_step + 1, float(self._tr_loss)
        self._storyteller.tell(self.args, self.state, step, loss, self._get_learning_rate(), None)
        if self.state.global_step:
            self._save_before()
        raise TrainingError(
            "loss-not-finite",
            f"the loss became {loss:g} in step {step}, or its gradients no numbers",
            "Lower the learning rate; the last checkpoint is from before.",
        )

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Scores the held-out rows and answers the prompts, whichever is due at this step."""
        step, metrics = self.state.global_step, {}
        if self._held_out and self._rhythm.evaluates(step):
            metrics = self._score()
            if best_step(self.state.log_history) == step and self._settings.keep == "best":
                self.control.should_save = True
            if metrics and step < self.steps and self._is_stale(self.state):
                self._story.alert(
                    "info",
                    "stopped-early",
                    f"the held-out loss was lowest at step {best_step(self.state.log_history)}:"
                    f" training ends at step {step} of {self.steps}",
                )
                self.control.should_save = self.control.should_training_stop = True
        if self._rhythm.samples(step) and not self._stop.requested:
            self._sample(step)
        if self._stop.requested and step:
            # The optimizer step is done: keep it; what is missing is made up for after the resume.
            self.control.should_save = self.control.should_training_stop = True
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def _score(self) -> dict[str, float]:
        """The summed loss of all trained tokens by their number; nothing if asked to stop."""
        started = time.monotonic()
        self.model.eval()
        total = torch.zeros(2, dtype=torch.float64)
        for batch in self._held_out[self.args.process_index :: self.args.world_size]:
            if self._stop.requested:
                break
            inputs = self._prepare_inputs(dict(batch))
            with torch.no_grad(), self.compute_loss_context_manager():
                loss = self.compute_loss(
                    self.model, inputs, num_items_in_batch=torch.ones((), device=self.args.device)
                )
            total += torch.tensor(
                [loss.item() / self.accelerator.num_processes, trained_tokens(batch["labels"])]
            )
        if self.args.world_size > 1:
            total = self.accelerator.reduce(total.to(self.args.device))
        self._stop.agree(self.args.device)
        if self._stop.requested:
            return {}
        loss, tokens = total.tolist()
        metrics = {"eval_loss": loss / tokens}
        self.log(dict(metrics))
        self._story.emit(
            "eval",
            step=self.state.global_step,
            loss=metrics["eval_loss"],
            rows=self._held_out_rows,
            tokens=int(tokens),
            seconds=time.monotonic() - started,
        )
        return metrics
