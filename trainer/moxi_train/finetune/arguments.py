"""Our settings as TRL's."""

import math
from pathlib import Path
from typing import Any

import torch
from trl import SFTConfig

from .batches import Batches
from .config import Settings
from .model import Machine

SCHEDULES = {  # ours -> transformers'; each begins with a linear warm-up
    "trapezoid": "warmup_stable_decay",
    "linear": "linear",
    "cosine": "cosine",
    "constant": "constant_with_warmup",
}
# Of all steps: how long a trapezoid falls. A fifth is what a held rate needs to match cosine
# (Hägele et al., Scaling Laws and Compute-Optimal Training Beyond Fixed Durations, 2024).
FALL = 0.2


def arguments(settings: Settings, machine: Machine, batches: Batches, folder: Path) -> SFTConfig:
    """What TRL is told; the steps of warm-up and fall come when the number of all is known."""
    on_gpu = machine.kind == "cuda"
    packing: dict[str, Any] = {"dataset_kwargs": {"skip_prepare_dataset": True}, "max_length": None}
    if batches.pack is not None:
        packing = {"packing": True, "packing_strategy": "bfd", "max_length": batches.pack}
    return SFTConfig(
        output_dir=str(folder),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=batches.micro,
        gradient_accumulation_steps=batches.accumulation,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=SCHEDULES[settings.schedule],
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


def set_schedule(args: SFTConfig, settings: Settings, steps: int) -> None:
    """Sets how many of all `steps` the learning rate rises, and falls."""
    args.warmup_steps = math.ceil(steps * settings.warmup)
    if settings.schedule == "trapezoid":
        falling = min(math.ceil(steps * FALL), steps - args.warmup_steps)
        args.lr_scheduler_kwargs = {"num_decay_steps": falling, "decay_type": "linear"}
