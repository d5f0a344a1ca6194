"""What a run leaves: a folder that plain transformers or PEFT loads, and how it came to be."""

import csv
import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from . import checkpoint
from .card import CARD, Licence, camel, write_card
from .config import TOY_MODEL, Settings, Task
from .events import Story

LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "tokenizers")
METRICS = "metrics.csv"
RECORD = "moxi.run.json"
COLUMNS = {  # of metrics.csv, by their names in the trainer's log
    "step": "step",
    "epoch": "epoch",
    "loss": "loss",
    "learning_rate": "learningRate",
    "grad_norm": "gradNorm",
    "num_input_tokens_seen": "tokens",
    "eval_loss": "heldOutLoss",
}


@dataclass(frozen=True)
class Outcome:
    """What was trained and measured."""

    rows: int
    held_out_rows: int
    fingerprint: str  # of the rows: see rows.fingerprint
    commit: str | None  # of a hub model, as it was loaded
    licence: Licence | None  # of the base
    history: Sequence[dict[str, Any]]  # the trainer's log: an entry a step, an entry an evaluation

    @property
    def held_out_loss(self) -> dict[str, float] | None:
        """The first, last and best of all evaluations, in nats per trained token."""
        losses = [entry["eval_loss"] for entry in self.history if "eval_loss" in entry]
        return {"first": losses[0], "last": losses[-1], "best": min(losses)} if losses else None


def save(model: Any, tokenizer: Any, task: Task, outcome: Outcome, story: Story) -> None:
    """Writes the artifact aside and puts it into place, at `task.artifact`, when it is whole."""
    from .resumable import save_weights

    kind = "model" if task.settings.method == "full" else "adapter"
    record = _record(task, outcome, kind, story.decisions)
    with checkpoint.replacing(task.artifact) as folder:
        save_weights(model, folder)
        model.generation_config.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        _write_metrics(folder / METRICS, outcome.history)
        write_record(folder, record)
        (folder / CARD).write_text(write_card(record, outcome.history), "utf-8")
        open_to_readers(folder)
    files = sum(path.is_file() for path in task.artifact.rglob("*"))
    story.emit("artifact", kind=kind, files=files, bytes=checkpoint.folder_bytes(task.artifact))


def write_record(folder: Path, record: dict[str, Any]) -> None:
    text = json.dumps(record, indent=2, ensure_ascii=False)
    (folder / RECORD).write_text(f"{text}\n", "utf-8")


def open_to_readers(folder: Path) -> None:
    """Gives every file the mode that a new file gets here; libraries write some for us alone.

    The mode is read from a file that was written plainly: asking for the umask means to change it.
    """
    mode = (folder / RECORD).stat().st_mode & 0o777
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(mode)


def _write_metrics(path: Path, history: Sequence[dict[str, Any]]) -> None:
    by_step: dict[int, dict[str, Any]] = {}
    for entry in history:
        by_step.setdefault(entry["step"], {}).update(entry)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS.values())
        for step in sorted(by_step):
            writer.writerow(by_step[step].get(name, "") for name in COLUMNS)


def read_metrics(path: Path) -> list[dict[str, float]]:
    """The trainer's log as it was written: an entry a step, without what is not known."""
    names = {column: name for name, column in COLUMNS.items()}
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {
                names[column]: int(text) if column == "step" else float(text)
                for column, text in row.items()
                if text
            }
            for row in csv.DictReader(file)
        ]


def _base_kind(settings: Settings) -> str:
    """ "toy", "hub" (wherever this machine has read it from) or "folder", one of the user's."""
    if settings.model == TOY_MODEL:
        return "toy"
    return "hub" if settings.model_path is None or settings.revision is not None else "folder"


def _record(task: Task, outcome: Outcome, kind: str, decisions: dict[str, Any]) -> dict[str, Any]:
    settings = asdict(task.settings)
    for place in ("model_path", "adapter_path"):  # on the machine that trained
        settings.pop(place, None)
    licence = None if outcome.licence is None else asdict(outcome.licence)
    return {
        "formatVersion": 1,
        "datasetFingerprint": outcome.fingerprint,
        **task.provenance,
        "kind": kind,
        "base": {
            "id": settings["model"],
            "kind": _base_kind(task.settings),
            "revision": settings["revision"],
            "commit": outcome.commit,
            "licence": licence,
        },
        "rows": {"train": outcome.rows, "heldOut": outcome.held_out_rows},
        "settings": {camel(name): value for name, value in settings.items()},
        "decisions": decisions,
        "heldOutLoss": outcome.held_out_loss,
        "versions": {
            "python": platform.python_version(),
            **{library: version(library) for library in LIBRARIES},
        },
    }
