"""An SFTTrainer that can be stopped anywhere: what it needs to go on is whole, or not there.

A checkpoint holds the weights, the optimizer, the schedule and the random generators of every
process; the order of rows follows from seed and epoch.
"""

from pathlib import Path
from typing import Any

import torch
from trl import SFTTrainer

from . import checkpoint, random_state
from .events import Story
from .scores import best_step

KEPT = 2  # checkpoints, beside the best
TRAINER_STATE = "trainer_state.json"
RANDOM_STATES = "random_states.pt"  # of every process


class ResumableTrainer(SFTTrainer):
    """SFTTrainer with checkpoints of ours: see `checkpoint`."""

    def __init__(self, checkpoints: Path, task: str, story: Story, **given: Any):
        """`task` is the hash of what is trained; the rest is SFTTrainer's."""
        self._checkpoints = checkpoints
        self._task = task
        self._story = story
        self._whole: dict[str, Any] | None = None  # of the last whole step, beside its weights
        self._random_states: list[Any] = []
        super().__init__(**given)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Writes what a resume needs; without room for it, training goes on and says so."""
        self._random_states = self._gather(random_state.capture())
        if not self.args.should_save:
            return
        try:
            self._write_checkpoint()
        except Exception as error:
            if not checkpoint.is_disk_full(error):
                raise
            newest, _ = checkpoint.newest_valid(self._checkpoints)
            kept = "none is there yet" if newest is None else f"that of step {newest.step} is kept"
            self._story.alert(
                "warning",
                "checkpoint-unwritten",
                f"no room for the checkpoint of step {self.state.global_step}: {kept}",
                "Free some space on the disk: a run that ends now goes on from the older one.",
            )

    def _save_before(self) -> None:
        """Writes the checkpoint of the last whole step when the one after it is given up.

        Its weights are still in place; what went on was the generators and the tokens seen.
        """
        if self._whole is None:
            return  # no step since the start, or since the checkpoint that was resumed
        random_state.restore(self._whole["random"])
        self.state.num_input_tokens_seen = self._whole["tokens"]
        if checkpoint.find(self._checkpoints, self.state.global_step) is None:
            self._save_checkpoint(self.model, None)

    def _gather(self, mine: Any) -> list[Any]:
        """One object of every process, in their order."""
        if self.args.world_size == 1:
            return [mine]
        everyone: list[Any] = [None] * self.args.world_size
        torch.distributed.all_gather_object(everyone, mine)
        return everyone

    def _save_rng_state(self, output_dir: str) -> None:
        torch.save(self._random_states, Path(output_dir) / RANDOM_STATES)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            states = torch.load(Path(checkpoint) / RANDOM_STATES, weights_only=True)
            # Another number of devices draws other numbers anyway.
            random_state.restore(states[self.args.process_index % len(states)])

    def _maybe_log_save_evaluate(self, *given: Any, **named: Any) -> None:
        super()._maybe_log_save_evaluate(*given, **named)
        self._whole = {
            "random": random_state.capture(),
            "tokens": self.state.num_input_tokens_seen,
        }

    def _write_checkpoint(self) -> None:
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
        checkpoint.prune(self._checkpoints, KEPT, best_step(self.state.log_history))


def save_weights(model: Any, folder: Path) -> None:
    """The model, or of an adapted one the adapter alone, in safetensors."""
    # PEFT would ask the hub whether the base's embedding was resized; ours never is.
    options = {"save_embedding_layers": False} if hasattr(model, "peft_config") else {}
    model.save_pretrained(folder, **options)
