"""Whole runs on the toy, in this process: the story, stopping and resuming, the artifact."""

import dataclasses
import json
import math
import os
import random
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import jsonschema
import pytest
import torch
from safetensors.torch import load_file
from support import TRAINER, Recorder, make_task, names, rows, run
from transformers import get_scheduler

from moxi_train.finetune import main as program
from moxi_train.finetune import tiny
from moxi_train.finetune.arguments import arguments, set_schedule
from moxi_train.finetune.batches import Batches
from moxi_train.finetune.config import Settings
from moxi_train.finetune.data import IGNORED
from moxi_train.finetune.model import Machine

SCHEMA = json.loads((TRAINER.parent / "schema" / "event.json").read_text("utf-8"))
STAMP = {
    "v": 1,
    "run": "moxi-a",
    "attempt": 1,
    "boot": 1,
    "seq": 1,
    "at": "2026-11-23T14:12:07.123Z",
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """One run from start to end: 22 rows, 4 a step, 2 epochs: 12 steps."""
    task = make_task(tmp_path_factory.mktemp("whole"), eval_every_steps=5)
    code, told = run(task)
    assert code == 0
    return task, told


def weights(task):
    return load_file(task.artifact / "model.safetensors")


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def on_step(number, does):
    """Does something when step `number` is told."""
    return lambda type, body: does() if type == "step" and body["step"] == number else None


def stop():
    os.kill(os.getpid(), signal.SIGTERM)


def test_every_event_is_one_that_the_schema_takes(whole):
    _, told = whole
    for event in told.events:
        jsonschema.validate(STAMP | event, SCHEMA)


def test_the_story_is_told_in_order(whole):
    _, told = whole
    kinds = [
        event.get("name") if event["type"] == "phase" else event["type"] for event in told.events
    ]
    kinds = [kind for kind in kinds if kind != "decision"]
    steps = lambda count: ["step"] * count  # noqa: E731
    assert kinds == [
        *("data", "model", "eval", "generation", "generation", "training"),
        *(*steps(5), "eval", "generation", "generation", "checkpoint"),
        *(*steps(5), "eval", "generation", "generation", "checkpoint"),
        *(*steps(2), "eval", "checkpoint", "generation", "generation", "saving", "artifact"),
    ]
    assert [event["step"] for event in told.of("eval")] == [0, 5, 10, 12]
    assert [event["step"] for event in told.of("generation")] == [*(0, 0, 5, 5, 10, 10, 12, 12)]


def test_each_decision_is_told_once_with_a_reason(whole):
    _, told = whole
    decisions = told.of("decision")
    assert len({each["name"] for each in decisions}) == len(decisions)
    assert all(each["reason"] for each in decisions)
    values = {each["name"]: each["value"] for each in decisions}
    assert values["device"] == "cpu"
    assert values["micro-batch"] * values["accumulation"] == 4
    assert values["steps"] == 12


def test_steps_count_what_they_saw(whole):
    _, told = whole
    steps = told.of("step")
    assert [step["step"] for step in steps] == list(range(1, 13))
    assert {step["steps"] for step in steps} == {12}
    assert steps[-1]["epoch"] == 2
    assert steps[0]["loss"] == pytest.approx(math.log(320), rel=0.1)
    assert steps[-1]["loss"] < steps[0]["loss"]
    assert steps[5]["tokens"] * 2 == steps[-1]["tokens"]  # an epoch has every token once
    seen = [0, *(step["tokens"] for step in steps)]
    per_step = [after - before for before, after in pairwise(seen)]
    assert per_step[:6] != per_step[6:]  # in another order each time
    assert all(step["memoryBytes"] > 2**20 and step["tokensPerSecond"] > 0 for step in steps)


def test_a_run_that_names_no_schedule_has_the_rates_of_a_trapezoid(whole):
    """Of 12 steps one (3 %, rounded up) warms up, and the rate falls in the last three."""
    _, told = whole
    rates = [step["learningRate"] / 3e-3 for step in told.of("step")]
    assert rates == pytest.approx([0, *[1] * 9, 2 / 3, 1 / 3])


def test_the_held_out_loss_is_that_of_each_token_alone(whole):
    """Against the plainest way to compute it: a row at a time, a token at a time."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from moxi_train.finetune.data import Renderer

    task, told = whole
    model = AutoModelForCausalLM.from_pretrained(task.artifact).eval()
    tokenizer = AutoTokenizer.from_pretrained(task.artifact)
    renderer = Renderer(tokenizer, frozenset([tokenizer.eos_token_id]))
    losses = []
    for line in task.eval[0].read_text().splitlines():
        (sample,) = renderer.render(json.loads(line))
        with torch.no_grad():
            scores = model(torch.tensor([sample.ids])).logits[0].log_softmax(-1)
        losses += [
            -scores[position - 1, label].item()
            for position, label in enumerate(sample.labels)
            if label != IGNORED
        ]
    last = told.of("eval")[-1]
    assert last["tokens"] == len(losses)
    assert last["rows"] == 4
    assert last["loss"] == pytest.approx(sum(losses) / len(losses), abs=1e-5)


def test_the_artifact_says_how_it_came_to_be(whole):
    task, told = whole
    evals = [event["loss"] for event in told.of("eval")]
    record = json.loads((task.artifact / "moxi.run.json").read_text())
    assert record["heldOutLoss"] == {"first": evals[0], "last": evals[-1], "best": min(evals)}
    assert record["settings"]["learningRate"] == 3e-3
    assert record["versions"]["torch"] == torch.__version__.split("+")[0]
    lines = (task.artifact / "metrics.csv").read_text().splitlines()
    assert len(lines) == 1 + 13
    assert lines[0] == "step,epoch,loss,learningRate,gradNorm,tokens,heldOutLoss"
    assert lines[-1].endswith(f",{evals[-1]}")
    card = (task.artifact / "README.md").read_text()
    assert f"| {evals[0]:.4f} | {evals[-1]:.4f} |" in card
    for path in task.artifact.glob("*.*"):
        if path.suffix in (".json", ".md", ".csv"):
            assert str(task.checkpoints.parent) not in path.read_text("utf-8"), path.name
    artifact = told.of("artifact")[0]
    assert artifact["files"] == len(names(task.artifact))


def test_the_same_again_gives_the_same_bits(whole, tmp_path):
    task = make_task(tmp_path, eval_every_steps=5)
    run(task)
    assert same(weights(task), weights(whole[0]))


def test_the_micro_batch_changes_no_curve(whole, tmp_path):
    task = make_task(tmp_path, eval_every_steps=5, micro_batch=1)
    _, told = run(task)
    assert told.decision("micro-batch")["value"] == 1
    for one, other in zip(told.of("step"), whole[1].of("step"), strict=True):
        assert one["loss"] == pytest.approx(other["loss"], abs=1e-5)
        assert one["gradNorm"] == pytest.approx(other["gradNorm"], abs=1e-4)


@pytest.mark.parametrize("step", [3, 6, 8, 10, 12])
def test_stopped_and_resumed_is_as_if_never_stopped(whole, tmp_path, step):
    """In an epoch, at its border, in the next, where an evaluation is due, after the last."""
    task = make_task(tmp_path, eval_every_steps=5)
    code, first = run(task, on_step(step, stop))
    assert code == 128 + signal.SIGTERM
    assert first.events[-1]["type"] == "checkpoint"
    assert not task.artifact.exists()
    assert names(task.checkpoints)[-1] == f"step-{step:06d}"

    # What happened elsewhere in between must not matter.
    torch.manual_seed(99)
    random.seed(99)
    code, second = run(task)
    assert code == 0
    assert second.of("resumed") == [{"type": "resumed", "fromStep": step}]
    assert same(weights(task), weights(whole[0]))
    for kind in ("step", "eval"):
        told = [(each["step"], each["loss"]) for run in (first, second) for each in run.of(kind)]
        assert told == [(each["step"], each["loss"]) for each in whole[1].of(kind)]
    assert second.of("step")[-1:] == [] or (
        second.of("step")[-1]["tokens"] == whole[1].of("step")[-1]["tokens"]
    )
    metrics = [(each.artifact / "metrics.csv").read_text() for each in (task, whole[0])]
    assert metrics[0] == metrics[1]


def test_stopped_in_an_evaluation_it_is_made_up_for_after_the_resume(whole, tmp_path, monkeypatch):
    from moxi_train.finetune.train import Trainer

    compute = Trainer.compute_loss

    def stop_in_the_second_evaluation(trainer, model, *rest, **more):
        if trainer.state.global_step == 5 and not model.training:
            stop()
        return compute(trainer, model, *rest, **more)

    task = make_task(tmp_path, eval_every_steps=5, micro_batch=2)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "compute_loss", stop_in_the_second_evaluation)
        code, first = run(task)
    assert code == 128 + signal.SIGTERM
    assert [event["step"] for event in first.of("eval")] == [0]
    assert names(task.checkpoints)[-1] == "step-000005"
    code, second = run(task)
    assert code == 0
    assert [event["step"] for event in second.of("eval")] == [5, 10, 12]
    assert [event["step"] for event in second.of("generation")] == [5, 5, 10, 10, 12, 12]
    losses = [event["loss"] for event in first.of("eval") + second.of("eval")]
    assert losses == pytest.approx([event["loss"] for event in whole[1].of("eval")], abs=1e-5)


def test_stopped_before_the_first_step_it_ends_at_once(tmp_path):
    task = make_task(tmp_path)
    code, told = run(task, lambda type, body: stop() if type == "generation" else None)
    assert code == 128 + signal.SIGTERM
    assert told.events[-1]["type"] == "generation"
    assert names(task.checkpoints) == ["base"]


def test_a_torn_checkpoint_is_skipped_with_an_alert(whole, tmp_path):
    task = make_task(tmp_path, eval_every_steps=5)
    run(task, on_step(7, stop))
    (task.checkpoints / "step-000007" / "optimizer.pt").write_bytes(b"torn")
    code, told = run(task)
    assert code == 0
    assert told.of("resumed")[0]["fromStep"] == 5
    (alert,) = told.of("alert")
    assert (alert["code"], alert["level"]) == ("checkpoint-torn", "warning")
    assert "step-000007: optimizer.pt has 4 bytes" in alert["message"]
    assert same(weights(task), weights(whole[0]))


def test_a_crash_in_a_checkpoint_costs_only_that_one(whole, tmp_path, monkeypatch):
    from moxi_train.finetune.train import Trainer

    task = make_task(tmp_path, eval_every_steps=5)

    def crash(*_):
        raise RuntimeError("crashed")

    with monkeypatch.context() as patch, pytest.raises(RuntimeError):
        run(task, on_step(6, lambda: patch.setattr(Trainer, "_save_rng_state", crash)))
    assert names(task.checkpoints) == ["base", "step-000005"]
    code, told = run(task)
    assert (code, told.of("resumed")[0]["fromStep"]) == (0, 5)
    assert same(weights(task), weights(whole[0]))


@pytest.mark.parametrize("other", [{"train": rows(21)}, {"learning_rate": 1e-3}, {"seed": 8}])
def test_nothing_goes_on_from_the_checkpoints_of_another_task(tmp_path, other):
    assert run(make_task(tmp_path), on_step(2, stop))[0] == 128 + signal.SIGTERM
    assert failure(make_task(tmp_path, **other)).code == "checkpoints-foreign"


def test_what_changes_nothing_learned_may_change_at_a_resume(whole, tmp_path):
    run(make_task(tmp_path, eval_every_steps=5), on_step(2, stop))
    task = make_task(tmp_path, eval_every_steps=4, generation_tokens=2, prompts=("Hi",))
    assert run(task)[0] == 0
    assert same(weights(task), weights(whole[0]))


def test_checkpoints_are_limited_and_the_best_is_kept(tmp_path):
    # Held-out rows that training has nothing to say of: each evaluation is worse than the last.
    strange = [{"text": "\x01\x02\x03\x04" * 8}]
    task = make_task(tmp_path, held_out=strange, eval_every_steps=3, learning_rate=1e-2)
    _, told = run(task)
    losses = [event["loss"] for event in told.of("eval")]
    assert losses == sorted(losses)
    assert names(task.checkpoints) == ["base", "step-000003", "step-000009", "step-000012"]


def test_answers_are_the_same_for_the_same_weights(whole, tmp_path):
    task = make_task(tmp_path, eval_every_steps=5, prompts=("Tell me of beta 1.",))
    _, told = run(task)
    before, *_, after = told.of("generation")
    assert before["prompt"] == after["prompt"] == "Tell me of beta 1."
    assert before["text"] != after["text"]
    _, again = run(dataclasses.replace(task, checkpoints=tmp_path / "other"))
    assert again.of("generation") == told.of("generation")


def test_rows_that_forge_events_and_control_tokens_only_train(tmp_path):
    forged = '\n{"type":"end","outcome":"succeeded","exitCode":0}\n@moxi:0 {}<|end|>\x00\u2028'
    hostile = {
        "messages": [{"role": "user", "content": forged}, {"role": "assistant", "content": forged}]
    }
    task = make_task(tmp_path, train=[hostile] * 4, held_out=[hostile], epochs=1)
    code, told = run(task)
    assert code == 0
    assert told.of("end") == []
    assert {event["prompt"] for event in told.of("generation")} == {forged}
    for event in told.events:
        jsonschema.validate(STAMP | event, SCHEMA)


def test_without_held_out_rows_it_trains_and_says_so(tmp_path):
    code, told = run(make_task(tmp_path, held_out=[], epochs=1))
    assert code == 0
    assert told.of("eval") == []
    assert [alert["code"] for alert in told.of("alert")] == ["no-held-out-rows"]
    assert len(told.of("generation")) == 8


def failure(task):
    recorder = Recorder()
    with pytest.raises(program.TrainingError) as caught:
        program.run(task, program.Story(recorder))
    return caught.value


def test_rows_longer_than_the_limit_leave_nothing_to_train(tmp_path):
    error = failure(make_task(tmp_path, max_seq_length=8))
    assert error.code == "nothing-to-train"
    assert "8 tokens" in str(error)


def test_prompts_without_room_for_an_answer_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(tiny, "CONTEXT", 64)
    code, told = run(make_task(tmp_path, prompts=("Hi.", "Hi " * 64), epochs=1))
    assert code == 0
    assert {event["prompt"] for event in told.of("generation")} == {"Hi."}
    assert "prompt-too-long" in {alert["code"] for alert in told.of("alert")}


def test_a_loss_that_is_no_number_ends_the_run_with_the_checkpoint_before(tmp_path):
    task = make_task(
        tmp_path, eval_every_steps=2, learning_rate=1e30, schedule="constant", warmup=0
    )
    recorder = Recorder()
    with pytest.raises(program.TrainingError, match="Lower the learning rate"):
        program.run(task, program.Story(recorder))
    assert recorder.of("step")[-1]["gradNorm"] is None
    assert not task.artifact.exists()


def test_a_folder_that_is_no_model_is_told(tmp_path):
    task = make_task(tmp_path, model="./mine", method="lora", model_path=str(tmp_path / "none"))
    assert failure(task).code == "model-missing"
    (tmp_path / "none").mkdir()
    assert failure(task).code == "model-unreadable"


def test_an_unreachable_hub_is_told(tmp_path):
    error = failure(make_task(tmp_path, model="moxi/none", method="lora"))
    assert error.code == "hub-unreachable"
    assert "moxi/none" in error.message


@pytest.fixture(scope="module")
def adapted(tmp_path_factory):
    """LoRA with dropout on a local folder."""
    root = tmp_path_factory.mktemp("adapted")
    tiny.build(rows(22), root / "base", seed=1)
    settings = {
        "model": str(root / "base"),
        "model_path": str(root / "base"),
        "method": "lora",
        "lora_rank": 4,
        "lora_alpha": 8,
        "lora_dropout": 0.1,
    }
    return root, settings


def test_an_adapter_is_resumed_exactly_with_dropout(adapted, tmp_path):
    _, settings = adapted
    whole, parts = (make_task(tmp_path / name, **settings) for name in ("whole", "parts"))
    assert run(whole)[0] == 0
    assert run(parts, on_step(8, stop))[0] == 128 + signal.SIGTERM
    assert run(parts)[0] == 0
    adapters = [load_file(task.artifact / "adapter_model.safetensors") for task in (whole, parts)]
    assert same(*adapters)
    assert {tensor.dtype for tensor in adapters[0].values()} == {torch.float32}
    assert any(tensor.abs().max() > 0 for name, tensor in adapters[0].items() if "lora_B" in name)


LOAD = """
import sys
from transformers import AutoModelForCausalLM, AutoTokenizer
from peft import AutoPeftModelForCausalLM
assert not any("moxi" in name for name in sys.modules)
for auto, folder in zip((AutoModelForCausalLM, AutoPeftModelForCausalLM), sys.argv[1:]):
    model, tokenizer = auto.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    prompt = [{"role": "user", "content": "Tell me of beta 1."}]
    inputs = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_tensors="pt")
    output = model.generate(**inputs, max_new_tokens=4, do_sample=False, no_repeat_ngram_size=10)
    answer = output[0, inputs["input_ids"].shape[1]:]
    print(repr(tokenizer.decode(answer, skip_special_tokens=True)))
"""


def test_plain_transformers_and_peft_load_the_artifacts_and_answer(adapted, tmp_path):
    _, settings = adapted
    prompts = ("Tell me of beta 1.",)
    full = make_task(tmp_path / "full", prompts=prompts)
    adapter = make_task(tmp_path / "adapter", prompts=prompts, **settings)
    told = [run(task)[1].of("generation")[-1]["text"] for task in (full, adapter)]
    config = json.loads((adapter.artifact / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == settings["model"]
    child = subprocess.run(
        [sys.executable, "-c", LOAD, str(full.artifact), str(adapter.artifact)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    assert child.stdout.splitlines() == [repr(text) for text in told]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("trapezoid", [0, 0.5, *[1] * 9, 1, 2 / 3, 1 / 3]),
        ("linear", [0, 0.5, *[1 - at / 12 for at in range(12)]]),
        ("constant", [0, 0.5, *[1] * 12]),
    ],
)
def test_the_learning_rate_rises_and_falls_as_its_schedule_says(schedule, expected):
    """14 steps, a tenth of them (rounded up) to warm up: a trapezoid falls in the last fifth."""
    settings = Settings("m", "full", 1, 4, 2e-3, 4, 7, schedule=schedule, warmup=0.1)
    args = arguments(settings, Machine("cpu", 1, 0), Batches(1, 1, None, False, 1), Path("unused"))
    set_schedule(args, settings, 14)
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.AdamW([weight], lr=settings.learning_rate)
    scheduler = get_scheduler(
        args.lr_scheduler_type,
        optimizer,
        num_warmup_steps=args.get_warmup_steps(14),
        num_training_steps=14,
        scheduler_specific_kwargs=args.lr_scheduler_kwargs,
    )
    rates = []
    for _ in range(14):
        rates.append(optimizer.param_groups[0]["lr"] / settings.learning_rate)
        optimizer.step()
        scheduler.step()
    assert rates == pytest.approx(expected)
