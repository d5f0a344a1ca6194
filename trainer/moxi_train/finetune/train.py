"""The training: TRL's SFTTrainer with our settings, and four places that need more than those.

1. The order of rows follows from seed and epoch alone: a resumed run sees what it would have seen.
2. The held-out loss is the sum over tokens by their number, not a mean of batch means.
3. Checkpoints are whole or not there.
4. Off the GPU the loss is computed without the prompts' logits.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft.helpers import disable_input_dtype_casting
from torch.nn.functional import cross_entropy
from transformers import PrinterCallback, TrainerState
from trl import SFTConfig, SFTTrainer
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from . import checkpoint
from .batches import Batches
from .callbacks import Rhythm, Stop, Storyteller
from .checkpoint import Checkpoint
from .config import Settings
from .data import IGNORED, Sample
from .errors import TrainingError
from .events import Story
from .model import Machine, keep_precise
from .order import StepSampler

KEPT_CHECKPOINTS = 2
TRAINER_STATE = "trainer_state.json"
NEVER_LEARNED = {  # settings that change nothing of what is learned
    *("model_path", "micro_batch", "gradient_checkpointing"),
    *("eval_every_steps", "save_every_steps", "generation_tokens", "prompts", "trackers"),
}


class Trainer(SFTTrainer):
    """SFTTrainer on rows that are tokenised and masked already."""

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
    ):
        """`begin` is called once the weights to start from are in place, before any step."""
        self._story = story
        self._stop = stop
        self._checkpoints = checkpoints
        self._task = task_hash(settings, train)
        self._step_rows = batches.micro * batches.accumulation * machine.processes
        super().__init__(
            model=model,
            processing_class=tokenizer,
            args=_arguments(settings, machine, batches, checkpoints),
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
        self.args.warmup_steps = math.ceil(self.steps * settings.warmup)
        reason = f"{settings.epochs:g} times {len(train)} sequences"
        story.decide("steps", self.steps, f"{reason}, {settings.effective_batch} a step")
        self._rhythm = Rhythm.of(self.steps, settings, story)
        self._begin = lambda: begin(self)
        self.remove_callback(PrinterCallback)
        self.add_callback(Storyteller(story, stop, self._rhythm, self._begin))
        self._held_out_rows = len(held_out)
        self._held_out = _eval_batches(held_out, batches.evaluation, tokenizer.pad_token_id)

    def start(self, resumed: Checkpoint | None) -> None:
        """Trains to the end, from the start or from a checkpoint of the same task."""
        if resumed is None:
            self.train()
            return
        if resumed.task != self._task:
            raise TrainingError(
                "checkpoints-foreign",
                f"{self._checkpoints} has checkpoints of a run with other rows or settings",
                "Choose another output folder, or remove that one.",
            )
        if resumed.step < self.steps:
            self.train(resume_from_checkpoint=str(resumed.path))
            return
        self._load_from_checkpoint(str(resumed.path))
        self.state = TrainerState.load_from_json(str(resumed.path / TRAINER_STATE))
        self._begin()

    @property
    def lacks_eval(self) -> bool:
        """Whether this step should have been scored and was not: a stop came in between."""
        step = self.state.global_step
        known = {entry["step"] for entry in self.state.log_history if "eval_loss" in entry}
        return step not in known and (step == 0 or self._rhythm.evaluates(step))

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> StepSampler:
        lengths = [len(ids) for ids in self.train_dataset["input_ids"]]
        return StepSampler(
            lengths, self._step_rows, self.args.seed, lambda: int(self.state.epoch or 0)
        )

    def training_step(self, *given: Any, **named: Any) -> torch.Tensor:
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
        # TRL's fused head needs Triton. Without it, it scores every position in several passes and
        # throws those of prompts and padding away; here the head sees none before the first answer.
        labels = inputs["labels"][:, 1:]
        first = int((labels != IGNORED).any(dim=0).int().argmax())
        positions = torch.arange(first, labels.shape[1], device=labels.device)
        seen = {name: value for name, value in inputs.items() if name != "labels"}
        logits = model(**seen, logits_to_keep=positions, use_cache=False).logits
        loss = cross_entropy(
            logits.flatten(0, 1).float(),
            labels[:, first:].flatten(),
            ignore_index=IGNORED,
            reduction="sum",
        )
        processes = self.accelerator.num_processes if self.args.average_tokens_across_devices else 1
        return loss / num_items_in_batch * processes

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Scores the held-out rows: the summed loss of all trained tokens by their number."""
        if not self._held_out:
            return {}
        started = time.monotonic()
        self.model.eval()
        total = torch.zeros(2, dtype=torch.float64)
        for batch in self._held_out[self.args.process_index :: self.args.world_size]:
            if self._stop.requested:
                # The optimizer step is done: keep it, and score it after the resume.
                self.control.should_save = self.control.should_training_stop = True
                return {}
            inputs = self._prepare_inputs(dict(batch))
            with torch.no_grad(), self.compute_loss_context_manager():
                loss = self.compute_loss(
                    self.model, inputs, num_items_in_batch=torch.ones((), device=self.args.device)
                )
            total += torch.tensor(
                [loss.item() / self.accelerator.num_processes, _trained(batch["labels"])]
            )
        if self.args.world_size > 1:
            total = self.accelerator.reduce(total.to(self.args.device))
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
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        if not self.args.should_save:
            return
        step = self.state.global_step
        with checkpoint.writing(self._checkpoints, step, self._task) as folder:
            save_weights(self.accelerator.unwrap_model(self.model), folder)
            self._save_optimizer_and_scheduler(str(folder))
            self._save_scaler(str(folder))
            self._save_rng_state(str(folder))
            self.state.save_to_json(str(folder / TRAINER_STATE))
        done = self._checkpoints / f"step-{step:06d}"
        self._story.emit(
            "checkpoint", step=step, name=done.name, bytes=checkpoint.folder_bytes(done)
        )
        checkpoint.prune(self._checkpoints, KEPT_CHECKPOINTS, best_step(self.state.log_history))


def save_weights(model: Any, folder: Path) -> None:
    """The model, or of an adapted one the adapter alone, in safetensors."""
    # PEFT would ask the hub whether the base's embedding was resized; ours never is.
    options = {"save_embedding_layers": False} if hasattr(model, "peft_config") else {}
    model.save_pretrained(folder, **options)


def task_hash(settings: Settings, train: Sequence[Sample]) -> str:
    """Equal for runs that learn the same from the same tokens, wherever and however watched."""
    learned = {name: value for name, value in asdict(settings).items() if name not in NEVER_LEARNED}
    rows = [(sample.ids, sample.labels) for sample in train]
    return hashlib.sha256(json.dumps([learned, rows], sort_keys=True).encode()).hexdigest()


def best_step(history: Sequence[dict[str, Any]]) -> int | None:
    """The trained step whose held-out loss was lowest so far."""
    scored = [entry for entry in history if "eval_loss" in entry and entry["step"]]
    return min(scored, key=lambda entry: entry["eval_loss"])["step"] if scored else None


def _arguments(settings: Settings, machine: Machine, batches: Batches, folder: Path) -> SFTConfig:
    on_gpu = machine.kind == "cuda"
    schedule = "constant_with_warmup" if settings.schedule == "constant" else settings.schedule
    packing: dict[str, Any] = {"dataset_kwargs": {"skip_prepare_dataset": True}, "max_length": None}
    if batches.pack is not None:
        packing = {"packing": True, "packing_strategy": "bfd", "max_length": batches.pack}
    return SFTConfig(
        output_dir=str(folder),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=batches.micro,
        gradient_accumulation_steps=batches.accumulation,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=schedule,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        seed=settings.seed,
        use_cpu=machine.kind == "cpu",
        bf16=on_gpu and torch.cuda.is_bf16_supported(including_emulation=False),
        activation_checkpointing=batches.checkpointing,
        dataloader_pin_memory=on_gpu,
        # Packs have no padding, and no attention mask to count by.
        include_num_input_tokens_seen="non_padding" if batches.pack is None else "all",
        logging_steps=1,
        logging_nan_inf_filter=False,
        # Evaluations and checkpoints come from our callback.
        eval_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        **packing,
    )


def _eval_batches(samples: Sequence[Sample], size: int, pad: int) -> list[dict[str, torch.Tensor]]:
    """Padded batches of similar lengths. No loader: it would use up random numbers of training."""
    collate = DataCollatorForLanguageModeling(pad_token_id=pad)
    ordered = sorted(samples, key=lambda sample: len(sample.ids))
    return [
        collate(
            [{"input_ids": each.ids, "labels": each.labels} for each in ordered[at : at + size]]
        )
        for at in range(0, len(ordered), size)
    ]


def _trained(labels: torch.Tensor) -> int:
    return int((labels[:, 1:] != IGNORED).sum())
