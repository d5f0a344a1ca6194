"""Experiment trackers, off unless configured: transformers' own callbacks, behind a guard.

A tracker is a convenience: one that is not installed, cannot log in or loses its server is told
once and left out, and the training goes on.
"""

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from .config import Task
from .errors import first_line
from .events import Story

PACKAGES = {  # what to import, what to install
    "tensorboard": ("tensorboard", "tensorboardX"),
    "wandb": ("wandb",),
    "mlflow": ("mlflow",),
    "comet": ("comet_ml",),
    "trackio": ("trackio",),
}
CALLBACKS = {  # in transformers.integrations
    "tensorboard": "TensorBoardCallback",
    "wandb": "WandbCallback",
    "mlflow": "MLflowCallback",
    "comet": "CometCallback",
    "trackio": "TrackioCallback",
}


def attach(trainer: Any, names: Sequence[str], task: Task, story: Story) -> None:
    """Adds a guarded callback for each tracker, named after the run.

    What a tracker writes on this machine goes beside the checkpoints; where it sends to, and with
    which key, it reads from its own environment variables.
    """
    if not names:
        return
    run = task.provenance.get("run", "moxi")
    _defaults(run, task.checkpoints / "trackers")
    trainer.args.run_name, trainer.args.project = run, "moxi"
    for name in names:
        try:
            callback = _create(name)
        except Exception as error:
            _tell(story, name, "cannot be used", error)
            continue
        trainer.add_callback(Guarded(name, callback, story))


class Guarded(TrainerCallback):
    """Hands every moment of the training to a tracker, until it fails for the first time."""

    def __init__(self, name: str, inner: TrainerCallback, story: Story):
        self._name, self._inner, self._story = name, inner, story

    def _hand(self, moment: str, *arguments: Any, **more: Any) -> None:
        if self._inner is None:
            return
        try:
            getattr(self._inner, moment)(*arguments, **more)
        except (Exception, SystemExit) as error:  # some libraries exit when a login fails
            self._inner = None
            _tell(self._story, self._name, "has failed and is left out from here on", error)


def _moment(name: str) -> Any:
    def hand(self: Guarded, *arguments: Any, **more: Any) -> None:
        self._hand(name, *arguments, **more)

    return hand


# What a tracker answers is not handed on: none may end a training.
for _name in dir(TrainerCallback):
    if _name.startswith("on_"):
        setattr(Guarded, _name, _moment(_name))


def _create(name: str) -> TrainerCallback:
    packages = PACKAGES[name]
    if not any(importlib.util.find_spec(package) for package in packages):
        package = packages[0].replace("_", "-")
        raise ModuleNotFoundError(f"the package {package} is not installed", name=package)
    import transformers.integrations as integrations

    return getattr(integrations, CALLBACKS[name])()


def _defaults(run: str, folder: Path) -> None:
    """What nobody set: one project, the run's own name, a resumed run goes on in the same record.

    MLflow alone would try an unreachable server for many minutes before it gave up.
    """
    defaults = {
        "TENSORBOARD_LOGGING_DIR": folder / "tensorboard",
        "WANDB_PROJECT": "moxi",
        "WANDB_RUN_ID": run,
        "WANDB_RESUME": "allow",
        "WANDB_DIR": folder,
        # Metrics and settings, no more: what is printed has text of the rows in it.
        "WANDB_CONSOLE": "off",
        "WANDB_DISABLE_CODE": "true",
        "WANDB_DISABLE_GIT": "true",
        "MLFLOW_EXPERIMENT_NAME": "moxi",
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": 2,
        "MLFLOW_HTTP_REQUEST_TIMEOUT": 10,
        "COMET_PROJECT_NAME": "moxi",
        "COMET_OFFLINE_DIRECTORY": folder / "comet",
        "COMET_AUTO_LOG_OUTPUT_LOGGER": "false",
        "COMET_AUTO_LOG_CODE": "false",
        "COMET_AUTO_LOG_GIT_METADATA": "false",
        "COMET_AUTO_LOG_GIT_PATCH": "false",
        "COMET_AUTO_LOG_ENV_DETAILS": "false",
        "TRACKIO_DIR": folder / "trackio",
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in defaults.items():
        os.environ.setdefault(name, str(value))


def _tell(story: Story, name: str, what: str, error: BaseException) -> None:
    why = first_line(error)[:300]
    hint = None
    if isinstance(error, ModuleNotFoundError):
        hint = f"Install {error.name or name} beside the training's other packages."
    story.alert(
        "warning", f"tracker-{name}", f"the tracker {name} {what}: {why}. Training goes on.", hint
    )
