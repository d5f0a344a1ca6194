"""What a checkpoint belongs to: nothing that learns something else may go on from it."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict

from .config import Settings
from .data import Sample

NEVER_LEARNED = {  # settings that change no step
    *("model_path", "micro_batch", "gradient_checkpointing", "keep", "early_stopping", "prompts"),
    "trackers",
    *("eval_every_steps", "save_every_steps", "sample_every_steps", "generation_tokens"),
}


def task_hash(settings: Settings, train: Sequence[Sample]) -> str:
    """Equal for runs that learn the same from the same tokens, wherever and however watched."""
    learned = {name: value for name, value in asdict(settings).items() if name not in NEVER_LEARNED}
    rows = [(sample.ids, sample.labels) for sample in train]
    return hashlib.sha256(json.dumps([learned, rows], sort_keys=True).encode()).hexdigest()
