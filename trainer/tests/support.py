"""What the tests of the training program share: small rows, tasks, runs in this process."""

import json
import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # no test needs a hub

from moxi_train.finetune import main as program
from moxi_train.finetune.config import Settings, Task
from moxi_train.finetune.events import Story

TRAINER = Path(__file__).parents[1]


class Recorder:
    """Keeps events; `reacts` is called with each, to do something at a named moment of a run."""

    def __init__(self, reacts=lambda type, body: None):
        self.events = []
        self._reacts = reacts

    def emit(self, type, **body):
        self.events.append({"type": type, **body})
        self._reacts(type, body)

    def of(self, type):
        return [event for event in self.events if event["type"] == type]

    def decision(self, name):
        return next(event for event in self.of("decision") if event["name"] == name)


def rows(count, length=6):
    """Rows whose answers can be learned: each repeats its topic."""
    topics = ["alpha", "beta", "gamma", "delta", "epsilon"]
    return [
        {
            "messages": [
                {"role": "user", "content": f"Tell me of {topics[index % 5]} {index}."},
                {
                    "role": "assistant",
                    "content": f"# {topics[index % 5]}\n\n" + "It is good. " * (1 + index % length),
                },
            ]
        }
        for index in range(count)
    ]


def make_task(root, train=None, held_out=None, **settings):
    """A task on the toy, with its rows as canonical JSONL below `root`."""
    files = {}
    train = rows(22) if train is None else train
    held_out = rows(4) if held_out is None else held_out
    for name, content in (("train", train), ("eval", held_out)):
        files[name] = root / "input" / name / "rows.jsonl"
        files[name].parent.mkdir(parents=True, exist_ok=True)
        files[name].write_text("".join(json.dumps(row) + "\n" for row in content), "utf-8")
    defaults = {
        "model": "moxi:tiny",
        "method": "full",
        "epochs": 2,
        "effective_batch": 4,
        "learning_rate": 3e-3,
        "generation_tokens": 4,
        "seed": 7,
    }
    return Task(
        settings=Settings(**defaults | settings),
        train=(files["train"],),
        eval=(files["eval"],),
        dataset=None,
        artifact=root / "model",
        checkpoints=root / "checkpoints",
    )


def run(task, reacts=lambda type, body: None):
    """Runs a task in this process; returns (exit code, what it told)."""
    import torch

    torch.set_num_threads(1)  # such small sums only wait for each other on more
    recorder = Recorder(reacts)
    try:
        code = program.run(task, Story(recorder))
    except SystemExit as exit:
        code = exit.code
    return code, recorder


def names(folder: Path):
    return sorted(path.name for path in folder.iterdir())
