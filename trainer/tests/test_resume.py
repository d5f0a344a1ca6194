"""Killed at any moment and resumed is as if never interrupted, to the last bit.

Each run is a process of its own: a fork of this one, which has the libraries loaded already.
SIGKILL is real, and comes from a function that the child alone has replaced.
"""

import contextlib
import json
import os
import signal
import sys
import traceback

import pytest
import torch
from safetensors.torch import load_file
from support import make_task, rows, run

from moxi_train.finetune import artifacts, batches, checkpoint, tiny
from moxi_train.finetune.batches import Batches
from moxi_train.finetune.train import Trainer

STEPS = 12  # 22 rows, 4 a step, 2 epochs: 6 steps an epoch
SETTINGS = {"save_every_steps": 3, "eval_every_steps": 4, "micro_batch": 2, "generation_tokens": 2}


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def forked(task, patch=lambda: None):
    """Runs a task in a child; returns (its exit code, or -n for signal n; the events it told)."""
    told = task.artifact.with_name("told.ndjson")
    told.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        code = 70
        with contextlib.suppress(BaseException):
            try:
                torch.use_deterministic_algorithms(True)
                patch()
                code, _ = run(task, lambda type, body: tell(told, {"type": type, **body}))
            except BaseException:
                traceback.print_exc()
                sys.stderr.flush()
        os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code, [json.loads(line) for line in told.read_text().splitlines()]


def tell(path, event):
    with path.open("a") as file:
        file.write(json.dumps(event) + "\n")


def losses(events):
    """(kind, step) -> loss; what was made again after a resume must be equal, and is one here."""
    return {
        (event["type"], event["step"]): event["loss"]
        for event in events
        if event["type"] in ("step", "eval")
    }


def everything(task):
    """Every tensor, number and generator that the last checkpoint and the artifact hold."""
    last = checkpoint.find(task.checkpoints, STEPS).path
    files = [load_file(*folder.glob("*.safetensors")) for folder in (last, task.artifact)]
    states = [
        torch.load(last / name, weights_only=True)
        for name in ("optimizer.pt", "scheduler.pt", "random_states.pt")
    ]
    return files, states


def equal(one, other):
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return one == other


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    """LoRA with dropout: every step draws random numbers."""
    base = tmp_path_factory.mktemp("base")
    tiny.build(rows(22), base, seed=1)
    lora = {"method": "lora", "lora_rank": 4, "lora_alpha": 8, "lora_dropout": 0.1}
    return {"model": str(base), "model_path": str(base), **lora, **SETTINGS}


@pytest.fixture(scope="module")
def whole(adapter, tmp_path_factory):
    task = make_task(tmp_path_factory.mktemp("whole"), **adapter)
    code, told = forked(task)
    assert code == 0
    return task, told


def in_a_step():
    step = Trainer.training_step

    def replaced(trainer, *given, **named):
        if trainer.state.global_step == 7 and trainer._storyteller.waited:
            trainer._batches_seen = getattr(trainer, "_batches_seen", 0) + 1
            if trainer._batches_seen == 2:
                kill()
        return step(trainer, *given, **named)

    Trainer.training_step = replaced


def in_an_evaluation():
    compute = Trainer.compute_loss

    def replaced(trainer, model, *given, **named):
        if trainer.state.global_step == 8 and not model.training:
            kill()
        return compute(trainer, model, *given, **named)

    Trainer.compute_loss = replaced


def inside_the_checkpoint_write():
    save = Trainer._save_optimizer_and_scheduler

    def replaced(trainer, folder):
        save(trainer, folder)
        if trainer.state.global_step == 9:
            os.truncate(f"{folder}/optimizer.pt", 100)
            kill()

    Trainer._save_optimizer_and_scheduler = replaced


def between_write_and_rename():
    take = checkpoint._take_place

    def replaced(partial, folder):
        if folder.name == "step-000009":
            kill()
        take(partial, folder)

    checkpoint._take_place = replaced


def in_the_final_save():
    artifacts._write_metrics = lambda *_: kill()


@pytest.mark.parametrize(
    ("point", "goes_on_from"),
    [
        (in_a_step, 6),  # an epoch's border
        (in_an_evaluation, 6),
        (inside_the_checkpoint_write, 8),
        (between_write_and_rename, 8),
        (in_the_final_save, 12),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_killed_and_resumed_is_as_if_never_killed(adapter, whole, tmp_path, point, goes_on_from):
    task = make_task(tmp_path, **adapter)
    code, before = forked(task, point)
    assert code == -signal.SIGKILL
    assert not task.artifact.exists()
    code, after = forked(task)
    assert code == 0
    (resumed,) = (event for event in after if event["type"] == "resumed")
    assert resumed["fromStep"] == goes_on_from
    assert losses(before + after) == losses(whole[1])
    assert set(losses(after)) == {each for each in losses(whole[1]) if each[1] > goes_on_from}
    assert equal(everything(task), everything(whole[0]))
    assert not list(task.checkpoints.glob(".step-*"))


def test_the_same_recipe_and_seed_twice_gives_the_same_bits(adapter, whole, tmp_path):
    task = make_task(tmp_path, **adapter)
    _, told = forked(task)
    assert losses(told) == losses(whole[1])
    assert equal(everything(task), everything(whole[0]))


def test_packs_are_resumed_where_they_were(adapter, tmp_path, monkeypatch):
    """Packs are made on GPUs; here they are asked for."""
    packed = Batches(1, 2, 100, False, 4)
    monkeypatch.setattr(batches, "choose_batches", lambda *_: packed)
    whole, parts = (make_task(tmp_path / name, **adapter) for name in ("whole", "parts"))
    code, told = forked(whole)
    assert code == 0
    last = max(event["step"] for event in told if event["type"] == "step")
    assert last > 6

    def stop(type, body):
        if type == "step" and body["step"] == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    assert run(parts, stop)[0] == 128 + signal.SIGTERM
    code, after = forked(parts)
    assert code == 0
    expected = {key: loss for key, loss in losses(told).items() if key[1] > 5}
    assert losses(after) == expected
    name = "adapter_model.safetensors"
    assert equal(load_file(whole.artifact / name), load_file(parts.artifact / name))


@pytest.mark.parametrize("settings", [{}, {"overdue": True}], ids=["after the step", "in the step"])
def test_a_step_that_takes_too_long_is_given_up(adapter, whole, tmp_path, monkeypatch, settings):
    from moxi_train.finetune import callbacks

    monkeypatch.setattr(callbacks, "STEP_PATIENCE", -1.0 if settings else 1e9)
    task = make_task(tmp_path, **adapter)
    step = Trainer.training_step
    seen = []

    def asked_in_its_middle(trainer, *given, **named):
        loss = step(trainer, *given, **named)
        if trainer.state.global_step == 7 and not seen:
            seen.append(loss)  # the first of two micro-batches has drawn its random numbers
            os.kill(os.getpid(), signal.SIGTERM)
        return loss

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "training_step", asked_in_its_middle)
        code, first = run(task)
    assert code == 128 + signal.SIGTERM
    assert first.of("checkpoint")[-1]["step"] == (7 if settings else 8)
    code, after = forked(task)
    assert code == 0
    assert losses(first.events + after) == losses(whole[1])
    assert equal(everything(task), everything(whole[0]))


def test_micro_batches_of_one_and_of_four_learn_the_same(adapter, tmp_path):
    curves = []
    for micro in (1, 4):
        settings = adapter | {"micro_batch": micro, "effective_batch": 8, "lora_dropout": 0.0}
        task = make_task(tmp_path / str(micro), **settings)
        code, told = run(task)
        assert code == 0
        assert told.decision("accumulation")["value"] == 8 // micro
        curves.append(losses(told.events))
    one, four = curves
    assert len(one) > 8
    assert one == pytest.approx(four, abs=1e-5)
