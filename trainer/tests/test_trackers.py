"""Trackers: they get the metrics, and none of them, and none of the libraries, gets in the way."""

import json
import os
import subprocess
import sys
import textwrap

import pytest
import torch
from safetensors.torch import load_file
from support import TRAINER, make_task, rows, run

from moxi_train.finetune import trackers
from moxi_train.supervisor.image import trainer_environment

EVERY = tuple(trackers.PACKAGES)


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """What a tracker is told for one run must not be there for the next."""
    for name in [name for name in os.environ if name.startswith(tuple(map(str.upper, EVERY)))]:
        monkeypatch.delenv(name)
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """Puts a tracker in the place of transformers' callback; it keeps what it is told."""
    import transformers.integrations as integrations
    from transformers import TrainerCallback

    (tmp_path / "packages").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "packages")

    def make(name, fails_at=None):
        told = []

        class Tracker(TrainerCallback):
            def __init__(self):
                self.tell("__init__")

            def tell(self, moment, logs=None):
                told.append((moment, logs))
                if moment == fails_at:
                    raise ConnectionError(f"no route for {moment}")

            def on_train_begin(self, args, *_, **__):
                self.tell("on_train_begin", args.run_name)

            def on_log(self, args, state, control, logs, **_):
                self.tell("on_log", dict(logs))

            def on_train_end(self, *_, **__):
                self.tell("on_train_end")

        (tmp_path / "packages" / f"{trackers.PACKAGES[name][0]}.py").write_text("")
        monkeypatch.setattr(integrations, trackers.CALLBACKS[name], Tracker)
        return told

    return make


def weights(task):
    return load_file(task.artifact / "model.safetensors")


def test_a_tracker_gets_every_loss_under_the_runs_name(fake, tmp_path):
    import dataclasses

    told = fake("wandb")
    task = make_task(tmp_path, epochs=1, eval_every_steps=3, trackers=("wandb",))
    task = dataclasses.replace(task, provenance={"run": "moxi-a"})
    code, story = run(task)
    assert code == 0
    assert ("on_train_begin", "moxi-a") in told
    logs = [logs for moment, logs in told if moment == "on_log"]
    assert [each["loss"] for each in logs if "loss" in each] == [
        event["loss"] for event in story.of("step")
    ]
    evals = [each["eval_loss"] for each in logs if "eval_loss" in each]
    assert evals == [event["loss"] for event in story.of("eval")]
    assert told[-1][0] == "on_train_end"
    assert story.of("alert") == []


@pytest.mark.parametrize("moment", ["__init__", "on_train_begin", "on_log", "on_train_end"])
def test_a_tracker_that_fails_is_told_once_and_stops_nothing(fake, tmp_path, moment):
    told = fake("comet", fails_at=moment)
    code, story = run(make_task(tmp_path / "with", epochs=1, trackers=("comet",)))
    assert code == 0
    (alert,) = story.of("alert")
    assert (alert["code"], alert["level"]) == ("tracker-comet", "warning")
    assert f"no route for {moment}" in alert["message"]
    assert [each for each, _ in told].count(moment) == 1
    plain = make_task(tmp_path / "without", epochs=1)
    run(plain)
    one, other = weights(plain), weights(make_task(tmp_path / "with", epochs=1))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_tracker_that_is_not_installed_is_told_with_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(trackers.PACKAGES, "mlflow", ("no_such_package",))
    code, story = run(make_task(tmp_path, epochs=1, trackers=("mlflow",)))
    assert code == 0
    (alert,) = story.of("alert")
    assert "no-such-package is not installed" in alert["message"]
    assert "no-such-package" in alert["hint"]


def test_every_tracker_has_its_callback_in_transformers():
    import transformers.integrations as integrations

    from moxi_train.finetune.config import TRACKERS

    assert tuple(trackers.CALLBACKS) == EVERY == TRACKERS
    assert all(hasattr(integrations, name) for name in trackers.CALLBACKS.values())


def test_trackers_get_metrics_and_not_what_is_printed_nor_code(tmp_path, monkeypatch):
    """Printed answers are text of the rows. Seen on both libraries; these are their own names."""
    monkeypatch.setenv("COMET_AUTO_LOG_CODE", "true")  # somebody wants it
    run(make_task(tmp_path, epochs=1, trackers=("wandb",)))
    expected = {"WANDB_CONSOLE": "off", "WANDB_DISABLE_CODE": "true", "WANDB_DISABLE_GIT": "true"}
    expected |= {"COMET_AUTO_LOG_OUTPUT_LOGGER": "false", "COMET_AUTO_LOG_CODE": "true"}
    assert expected.items() <= os.environ.items()


def test_a_key_goes_only_to_the_run_that_asked_for_its_tracker(tmp_path, monkeypatch):
    (tmp_path / "input/data").mkdir(parents=True)
    keys = ("WANDB_API_KEY", "COMET_API_KEY", "MLFLOW_TRACKING_TOKEN", "AWS_SECRET_ACCESS_KEY")
    for name in keys:
        monkeypatch.setenv(name, "secret")
    given = lambda *names: {*keys} & {*trainer_environment(tmp_path, 1, names)}  # noqa: E731
    assert given() == set()
    assert given("wandb") == {"WANDB_API_KEY"}
    assert given("mlflow", "comet") == {"COMET_API_KEY", "MLFLOW_TRACKING_TOKEN"}


LISTEN = """
    import sys
    seen = []
    def hook(event, arguments):
        if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
            seen.append(f"{event} {arguments!r}")
    sys.addaudithook(hook)
    from moxi_train.finetune import main
    code = main.main(sys.argv[1:])
    import threading
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join(5)
    print("code", code, "network", seen)
"""


def test_a_run_speaks_to_nobody(tmp_path):
    """The hub is not told to be offline: nothing asks it, because nothing wants to."""
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(8)))
    environment = {name: value for name, value in os.environ.items() if "OFFLINE" not in name}
    environment.pop("HF_HUB_DISABLE_TELEMETRY", None)
    environment.pop("DO_NOT_TRACK", None)
    command = ["--dataset", str(tmp_path / "rows.jsonl"), "--output-dir", str(tmp_path / "out")]
    child = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(LISTEN), *command, "--epochs", "1"],
        cwd=TRAINER,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.stdout.splitlines()[-1:] == ["code 0 network []"], child.stdout + child.stderr
