"""Alerts: each for what it is for, once, and none on a healthy run."""

import math
import os
import random
import signal
import sys
from pathlib import Path

import pytest
import torch
from support import Recorder, make_task, names, rows, run
from transformers import Trainer as TransformersTrainer

from moxi_train.finetune import callbacks, checkpoint, train
from moxi_train.finetune import main as program
from moxi_train.finetune.alerts import Watch
from moxi_train.finetune.events import Story
from moxi_train.finetune.flat import Flatness
from moxi_train.finetune.train import Trainer


def watched(steps=(), evaluations=(), warmup=3):
    """The alerts of a curve: (loss, gradient norm, seconds, of these waited) a step."""
    recorder = Recorder()
    watch = Watch(Story(recorder), 400, warmup)
    for number, (loss, norm, seconds, waited) in enumerate(steps, 1):
        watch.step(number, loss, norm, seconds, waited)
        if number in dict(evaluations):
            watch.evaluation(number, dict(evaluations)[number])
    return [event["code"] for event in recorder.of("alert")]


def noisy(curve, spread=0.08, seed=3):
    """Steps of a curve with the noise that differing rows make."""
    draw = random.Random(seed)
    return [
        (value * draw.gauss(1, spread), abs(draw.gauss(1, 0.3)) + 0.1, 0.5, 0.01) for value in curve
    ]


def falling(count, start, end):
    return [end + (start - end) * math.exp(-5 * index / count) for index in range(count)]


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize(("start", "end"), [(2.0, 1.7), (7.0, 3.0), (1.2, 0.05)])
def test_a_healthy_curve_raises_none(start, end, seed):
    curve = falling(400, start, end)
    evaluations = [(step, curve[step - 1] * 1.01) for step in range(40, 401, 40)]
    assert watched(noisy(curve, seed=seed), evaluations) == []


def test_a_loss_that_never_falls_is_told_once():
    assert watched(noisy([2.0] * 300, spread=0.02)) == ["loss-flat"]
    assert watched(noisy([2.0] * 62, spread=0.02)) == []  # too early to say
    assert watched(noisy([2.0] * 200, spread=0.3)) == []  # too noisy to say


def test_where_rows_are_held_out_their_loss_says_whether_it_falls():
    assert watched(noisy([2.0] * 300), [(20, 2.0), (40, 1.9)]) == []
    assert watched(noisy([2.0] * 80, spread=0.3), [(20, 2.0), (40, 1.99)]) == ["loss-flat"]
    # What is learned by heart falls too, and is another alert's.
    assert watched(noisy([2.0] * 20 + [1.5] * 60, 0.02), [(20, 2.0), (40, 2.0)]) == []


def test_a_run_that_goes_on_is_not_called_flat():
    """It fell before: a resumed run sees the end of its curve alone."""
    recorder = Recorder()
    watch = Watch(Story(recorder), 400, 3)
    for step, (loss, *rest) in enumerate(noisy([1.0] * 300, spread=0.01), 101):
        watch.step(step, loss, *rest)
    assert recorder.of("alert") == []


def alarms(curve, spread, skewed, count):
    """The share of `count` runs of a curve that are called flat."""
    wrong = 0
    for seed in range(count):
        draw = random.Random(seed)
        flatness = Flatness(63)
        for loss in curve:
            noise = draw.lognormvariate(0, spread) if skewed else draw.gauss(1, spread)
            wrong += flatness.step(loss * noise, None) is not None
    return wrong / count


@pytest.mark.parametrize("skewed", [False, True])
@pytest.mark.parametrize("spread", [0.08, 0.2, 0.3])
def test_what_falls_is_hardly_ever_called_flat_whatever_the_noise(spread, skewed):
    """By 8 % early, by 10 % slowly, or as it usually does."""
    for curve in (
        falling(400, 2.0, 1.84),
        [2.0 - 0.2 * at / 400 for at in range(400)],
        falling(400, 2.0, 1.7),
    ):
        assert alarms(curve, spread, skewed, 300) <= 1 / 300


def test_what_stays_flat_is_told_in_the_end():
    assert alarms([2.0] * 700, 0.03, False, 100) > 0.95


def test_gradients_that_explode_are_told_and_a_single_spike_is_not():
    usual, wild = (2.0, 1.0, 0.5, 0.0), (2.0, 30.0, 0.5, 0.0)
    assert watched([usual] * 30 + [wild] * 5) == ["gradients-exploding"]
    assert watched([usual] * 30 + [wild, usual] * 5) == []


def test_gradients_of_zero_are_told():
    steps = [(2.0, 1.0, 0.5, 0.0)] * 3
    assert watched(steps + [(2.0, 0.0, 0.5, 0.0)] * 5) == ["gradients-zero"]
    assert watched(steps + [(2.0, 0.0, 0.5, 0.0)] * 2 + steps) == []


def test_a_loss_that_rises_is_told():
    assert watched(noisy([2.0] * 30 + [6.0] * 30)) == ["loss-rising"]


def test_overfitting_is_told_after_two_worse_evaluations():
    curve = noisy(falling(100, 2.0, 0.5))
    worse = [(20, 1.8), (40, 1.5), (60, 1.6), (80, 1.7)]
    assert watched(curve, worse) == ["overfitting"]
    assert watched(curve, worse[:3]) == []
    # Both losses rise: the training went wrong, but learned nothing by heart.
    assert "overfitting" not in watched(noisy([1.0] * 40 + [1.4] * 60), worse)


def test_waiting_for_rows_is_told():
    assert watched([(2.0 - i / 50, 1.0, 0.5, 0.2) for i in range(30)]) == ["data-waiting"]
    assert watched([(2.0 - i / 50, 1.0, 0.005, 0.004) for i in range(30)]) == []


class Clock:
    """Stands in for `time`: moves by a millisecond whenever it is read."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        self.now += 0.001
        return self.now


def test_a_run_whose_rows_come_slowly_says_so(tmp_path, monkeypatch):
    """Loading takes 5 seconds a step, and all the rest of a step next to nothing."""
    clock, load = Clock(), TransformersTrainer.get_batch_samples

    def slow(*given, **named):
        clock.now += 5
        return load(*given, **named)

    for module in (train, callbacks):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(TransformersTrainer, "get_batch_samples", slow)
    code, told = run(make_task(tmp_path, held_out=[], epochs=4, generation_tokens=2))
    assert (code, codes(told)) == (0, ["no-held-out-rows", "data-waiting"])
    assert "of the last 100." in told.of("alert")[1]["message"]


def codes(told):
    return [event["code"] for event in told.of("alert")]


def test_a_healthy_toy_raises_none(tmp_path):
    """Enough steps that every rule has judged."""
    task = make_task(tmp_path, rows(64), epochs=6, generation_tokens=2)
    code, told = run(task)
    assert (code, codes(told)) == (0, [])
    assert told.of("step")[-1]["step"] == 96


def test_a_learning_rate_near_zero_is_told(tmp_path):
    task = make_task(tmp_path, epochs=12, learning_rate=1e-9, generation_tokens=2)
    code, told = run(task)
    assert (code, codes(told)) == (0, ["loss-flat"])


STRANGE = [{"text": "\x01\x02\x03\x04" * 8}]  # each evaluation is worse than the one before


def test_the_best_weights_are_kept_not_the_last(tmp_path):
    settings = {"eval_every_steps": 3, "learning_rate": 1e-2, "generation_tokens": 2}
    task = make_task(tmp_path, held_out=STRANGE, **settings)
    code, told = run(task)
    assert code == 0
    kept = told.decision("kept step")
    assert kept["value"] == 3
    assert f"{told.of('eval')[1]['loss']:.4f}" in kept["reason"]
    assert told.of("generation")[-1]["step"] == 3
    best = task.checkpoints / "step-000003/model.safetensors"
    assert (task.artifact / "model.safetensors").read_bytes() == best.read_bytes()


def test_the_last_weights_are_kept_where_that_is_asked(tmp_path):
    settings = {"eval_every_steps": 3, "learning_rate": 1e-2, "generation_tokens": 2}
    task = make_task(tmp_path, held_out=STRANGE, keep="last", **settings)
    _, told = run(task)
    assert told.decision("kept step")["value"] == 12
    last = task.checkpoints / "step-000012/model.safetensors"
    assert (task.artifact / "model.safetensors").read_bytes() == last.read_bytes()


def test_a_new_best_is_saved_whatever_the_rhythm(tmp_path):
    task = make_task(tmp_path, eval_every_steps=5, save_every_steps=100, generation_tokens=2)
    _, told = run(task)
    assert [event["step"] for event in told.of("checkpoint")] == [5, 10, 12]


def test_early_stopping_ends_a_run_that_gets_worse(tmp_path):
    settings = {"eval_every_steps": 1, "learning_rate": 1e-2, "early_stopping": 3}
    task = make_task(tmp_path, held_out=STRANGE, generation_tokens=2, **settings)
    code, told = run(task)
    assert code == 0
    assert told.of("step")[-1]["step"] == 4
    assert "stopped-early" in codes(told)
    assert told.decision("kept step")["value"] == 1
    # Killed in the final save, it is not trained on from there.
    before = (task.artifact / "model.safetensors").read_bytes()
    code, again = run(task)
    assert (code, again.of("step")) == (0, [])
    assert (task.artifact / "model.safetensors").read_bytes() == before


def failed(task, reacts=lambda type, body: None):
    recorder = Recorder(reacts)
    with pytest.raises(program.TrainingError) as caught:
        program.run(task, Story(recorder))
    return caught.value, recorder


def test_a_gradient_that_is_no_number_ends_with_the_weights_before_it(tmp_path, monkeypatch):
    task = make_task(tmp_path, save_every_steps=100, eval_every_steps=100, generation_tokens=2)
    compute = Trainer.compute_loss

    def broken(trainer, model, *given, **named):
        loss = compute(trainer, model, *given, **named)
        return loss * math.nan if trainer.state.global_step == 7 and model.training else loss

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "compute_loss", broken)
        error, told = failed(task)
    assert error.code == "loss-not-finite"
    assert told.of("step")[-1]["step"] == 8
    assert told.of("checkpoint")[-1]["step"] == 7
    assert names(task.checkpoints)[-1] == "step-000007"
    whole = make_task(tmp_path / "whole", save_every_steps=100, generation_tokens=2)
    assert run(whole)[0] == 0
    assert run(task)[0] == 0
    one, other = ((each.artifact / "model.safetensors").read_bytes() for each in (task, whole))
    assert one == other


def test_out_of_memory_says_what_to_change(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(Trainer, "compute_loss", refuse)
    hints = []
    for settings in ({"micro_batch": 4}, {"micro_batch": 1}):
        error, _ = failed(make_task(tmp_path, held_out=[], **settings))
        assert error.code == "out-of-memory"
        hints.append(error.hint)
    assert "microBatch to 2" in hints[0]
    assert "gradientCheckpointing" in hints[1]


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full answers like a full disk")
@pytest.mark.parametrize("name", ["optimizer.pt", "trainer_state.json"])
def test_a_full_disk_costs_a_checkpoint_and_not_the_run(tmp_path, monkeypatch, name):
    task = make_task(tmp_path, save_every_steps=3, eval_every_steps=100, generation_tokens=2)
    replacing = checkpoint.replacing

    class Full:
        def __init__(self, folder):
            self._inner, self._full = replacing(folder), folder.name[-1] in "69"

        def __enter__(self):
            folder = self._inner.__enter__()
            if self._full:
                (folder / name).symlink_to("/dev/full")
            return folder

        def __exit__(self, *what):
            return self._inner.__exit__(*what)

    monkeypatch.setattr(checkpoint, "replacing", Full)
    seen = []

    def look(type, body):
        if type == "step" and body["step"] == 8:
            seen.append(checkpoint.newest_valid(task.checkpoints)[0].step)

    code, told = run(task, look)
    assert code == 0
    assert seen == [3]
    assert [event["step"] for event in told.of("checkpoint")] == [3, 12]
    (alert,) = told.of("alert")
    assert alert["code"] == "checkpoint-unwritten"
    assert "step 6: that of step 3 is kept" in alert["message"]
    assert not list(Path(task.checkpoints).glob(".step-*"))


def test_asked_to_stop_while_it_answers_prompts_it_saves_at_once(tmp_path):
    task = make_task(tmp_path, eval_every_steps=4, generation_tokens=2)

    def stop(type, body):
        if type == "generation" and body["step"] == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    code, told = run(task, stop)
    assert code == 128 + signal.SIGTERM
    assert told.of("checkpoint")[-1]["step"] == 4
    assert [event["index"] for event in told.of("generation") if event["step"]] == [0]
