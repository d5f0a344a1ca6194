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
from .config import TOY_MODEL, Settings, Task
from .events import Story

LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "tokenizers")
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
    commit: str | None  # of a hub model, as it was loaded
    history: Sequence[dict[str, Any]]  # the trainer's log: an entry a step, an entry an evaluation

    @property
    def held_out_loss(self) -> dict[str, float] | None:
        """The first, last and best of all evaluations, in nats per trained token."""
        losses = [entry["eval_loss"] for entry in self.history if "eval_loss" in entry]
        return {"first": losses[0], "last": losses[-1], "best": min(losses)} if losses else None


def save(model: Any, tokenizer: Any, task: Task, outcome: Outcome, story: Story) -> None:
    """Writes the artifact aside and puts it into place, at `task.artifact`, when it is whole."""
    from .train import save_weights

    kind = "adapter" if task.settings.method == "lora" else "model"
    record = _record(task, outcome, kind, story.decisions)
    with checkpoint.replacing(task.artifact) as folder:
        save_weights(model, folder)
        model.generation_config.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        _write_metrics(folder / "metrics.csv", outcome.history)
        text = json.dumps(record, indent=2, ensure_ascii=False)
        (folder / "moxi.run.json").write_text(f"{text}\n", "utf-8")
        (folder / "README.md").write_text(_card(task, outcome, kind), "utf-8")
    files = sum(path.is_file() for path in task.artifact.rglob("*"))
    story.emit("artifact", kind=kind, files=files, bytes=checkpoint.folder_bytes(task.artifact))


def _write_metrics(path: Path, history: Sequence[dict[str, Any]]) -> None:
    by_step: dict[int, dict[str, Any]] = {}
    for entry in history:
        by_step.setdefault(entry["step"], {}).update(entry)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS.values())
        for step in sorted(by_step):
            writer.writerow(by_step[step].get(name, "") for name in COLUMNS)


def _record(task: Task, outcome: Outcome, kind: str, decisions: dict[str, Any]) -> dict[str, Any]:
    settings = asdict(task.settings)
    del settings["model_path"]  # a place on the machine that trained
    base = {"id": settings["model"], "revision": settings["revision"], "commit": outcome.commit}
    return {
        "formatVersion": 1,
        **task.provenance,
        "kind": kind,
        "base": base,
        "rows": {"train": outcome.rows, "heldOut": outcome.held_out_rows},
        "settings": {_camel(name): value for name, value in settings.items()},
        "decisions": decisions,
        "heldOutLoss": outcome.held_out_loss,
        "versions": {
            "python": platform.python_version(),
            **{library: version(library) for library in LIBRARIES},
        },
    }


def _card(task: Task, outcome: Outcome, kind: str) -> str:
    """The model card, in the form that the Hugging Face hub reads."""
    settings = task.settings
    on_hub = settings.model_path is None and settings.model != TOY_MODEL
    base = settings.model if on_hub or settings.model == TOY_MODEL else Path(settings.model).name
    commit = outcome.commit or settings.revision
    header = [
        "---",
        f"library_name: {'peft' if kind == 'adapter' else 'transformers'}",
        *([f"base_model: {json.dumps(base)}"] if on_hub else []),
        "pipeline_tag: text-generation",
        "tags: [moxi, sft]",
        "---",
    ]
    what = "A LoRA adapter for" if kind == "adapter" else "A full fine-tune of"
    at = f" at `{commit}`" if commit else ""
    about = f"{what} `{base}`{at}, trained with Moxi on {outcome.rows:,} sequences."
    if settings.model == TOY_MODEL:
        about += " A toy, made from scratch to show that training works: no model to use."
    parts = ["\n".join(header), f"# {base}, fine-tuned", about]
    loss = outcome.held_out_loss
    if loss is not None:
        parts += [
            "## Held-out loss",
            f"Cross-entropy per answer token, in nats, over {outcome.held_out_rows} rows"
            " that were not trained on.",
            _table(("before", "after", "best"), [[f"{value:.4f}" for value in loss.values()]]),
        ]
    parts += [
        "## Use",
        "\n".join(["```python", *_usage(kind), "```"]),
        "## Settings",
        _table(("setting", "value"), _card_settings(settings, task.provenance, kind)),
        "Every step is in `metrics.csv`, every derived setting in `moxi.run.json`.",
    ]
    return "\n\n".join(parts) + "\n"


def _card_settings(settings: Settings, provenance: dict[str, Any], kind: str) -> list[list[str]]:
    names = ["method", "epochs", "effective_batch", "learning_rate", "schedule", "warmup", "seed"]
    if kind == "adapter":
        names += ["lora_rank", "lora_alpha", "lora_dropout"]
    rows = [[_camel(name), str(getattr(settings, name))] for name in names]
    fingerprint = provenance.get("datasetFingerprint")
    return rows if fingerprint is None else [*rows, ["dataset, SHA-256", f"`{fingerprint}`"]]


def _usage(kind: str) -> list[str]:
    library, auto = "transformers", "AutoModelForCausalLM"
    if kind == "adapter":
        library, auto = "peft", "AutoPeftModelForCausalLM"
    return [
        f"from {library} import {auto}",
        "from transformers import AutoTokenizer",
        "",
        'folder = "path/of/this/folder"',
        f"model = {auto}.from_pretrained(folder)",
        "tokenizer = AutoTokenizer.from_pretrained(folder)",
        "inputs = tokenizer.apply_chat_template(",
        '    [{"role": "user", "content": "..."}], add_generation_prompt=True, return_tensors="pt"',
        ")",
        "output = model.generate(**inputs, max_new_tokens=200)",
        'print(tokenizer.decode(output[0, inputs["input_ids"].shape[1] :]))',
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
