"""The command line: alone for a person, in a job for the supervisor; what failures look like."""

import json
import os
import threading

import jsonschema
import pytest
from support import TRAINER, names, rows

from moxi_train.finetune.config import Settings, read_task
from moxi_train.finetune.main import main

SCHEMAS = TRAINER.parent / "schema"
JOB = {
    "formatVersion": 1,
    "run": "moxi-20261123-141207-calm-otter-7f3k",
    "attempt": 1,
    "processes": 1,
    "nonce": "0" * 32,
    "planHash": "a" * 64,
    "recipeHash": "b" * 64,
    "datasetFingerprint": "c" * 64,
    "maxSeconds": None,
    "secrets": [],
    "trainer": {
        "model": "moxi:tiny",
        "revision": None,
        "modelPath": None,
        "adapterPath": None,
        "method": "full",
        "loraRank": None,
        "loraAlpha": None,
        "loraDropout": None,
        "epochs": 1,
        "effectiveBatch": 4,
        "microBatch": None,
        "learningRate": 3e-3,
        "schedule": "linear",
        "warmup": 0.1,
        "weightDecay": 0,
        "maxGradNorm": 1,
        "maxSeqLength": None,
        "overlong": "drop",
        "gradientCheckpointing": None,
        "evalEverySteps": None,
        "saveEverySteps": 2,
        "sampleEverySteps": None,
        "earlyStopping": None,
        "keep": "best",
        "generationTokens": 4,
        "prompts": ["Tell me of beta 1."],
        "trackers": [],
        "maxSteps": None,
        "seed": 7,
    },
}


def write_job(root, **trainer):
    job = JOB | {"trainer": JOB["trainer"] | trainer}
    jsonschema.validate(job, json.loads((SCHEMAS / "job.json").read_text()))
    for name, count in (("train", 8), ("eval", 2)):
        folder = root / "input/data" / name
        folder.mkdir(parents=True)
        (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(count)))
    path = root / "input/data/job/job.json"
    path.parent.mkdir()
    path.write_text(json.dumps(job))
    return path


def test_a_job_says_all_that_the_settings_hold(tmp_path, monkeypatch):
    monkeypatch.setenv("MOXI_ML_ROOT", str(tmp_path))
    places = {"modelPath": "input/data/model", "adapterPath": "input/data/adapter"}
    task = read_task(["--job", str(write_job(tmp_path, **places, overlong="truncate"))])
    assert task.settings == Settings(
        model="moxi:tiny",
        method="full",
        epochs=1,
        effective_batch=4,
        learning_rate=3e-3,
        generation_tokens=4,
        seed=7,
        model_path=str(tmp_path / "input/data/model"),
        adapter_path=str(tmp_path / "input/data/adapter"),
        overlong="truncate",
        schedule="linear",
        warmup=0.1,
        weight_decay=0,
        max_grad_norm=1,
        save_every_steps=2,
        prompts=("Tell me of beta 1.",),
    )
    assert [path.name for path in (*task.train, *task.eval)] == ["rows.jsonl"] * 2
    assert task.artifact == tmp_path / "model"
    assert task.checkpoints == tmp_path / "checkpoints"
    assert task.provenance["planHash"] == "a" * 64


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"trainer": {"prompts": [], "speed": 1}}'])
def test_what_is_no_job_is_told(tmp_path, capsys, content):
    path = tmp_path / "job.json"
    path.write_text(content)
    assert main(["--job", str(path)]) == 1
    assert f"{path} is no job" in capsys.readouterr().err


def test_in_a_job_events_go_through_the_pipe_and_nothing_to_stdout(tmp_path, monkeypatch, capfd):
    path = write_job(tmp_path)
    fifo = tmp_path / "events"
    os.mkfifo(fifo)
    monkeypatch.setenv("MOXI_ML_ROOT", str(tmp_path))
    monkeypatch.setenv("MOXI_EVENTS", str(fifo))
    lines = []

    def read():
        with fifo.open() as pipe:
            for line in pipe:
                lines.append(line)
                if '"type": "artifact"' in line:
                    return

    reader = threading.Thread(target=read)
    reader.start()
    assert main(["--job", str(path)]) == 0
    reader.join(timeout=10)
    schema = json.loads((SCHEMAS / "event.json").read_text())
    stamp = {"v": 1, "run": "moxi-a", "attempt": 1, "boot": 1, "seq": 1}
    events = [json.loads(line) for line in lines]
    for event in events:
        jsonschema.validate(stamp | {"at": "2026-11-23T14:12:07.123Z"} | event, schema)
    assert events[-1]["type"] == "artifact"
    assert capfd.readouterr() == ("", "")
    record = json.loads((tmp_path / "model/moxi.run.json").read_text())
    assert record["run"] == JOB["run"]
    assert record["datasetFingerprint"] == "c" * 64
    assert "c" * 64 in (tmp_path / "model/README.md").read_text()


def test_alone_it_takes_instruction_data_and_tells_a_person(tmp_path, capsys):
    dataset = tmp_path / "data.json"
    data = [
        {"instruction": f"Say {index}.", "input": {"n": index}, "output": "It is good.", "by": "x"}
        for index in range(20)
    ]
    dataset.write_text(json.dumps(data))
    out = tmp_path / "out"
    command = ["--dataset", str(dataset), "--output-dir", str(out), "--epochs", "1"]
    command += [
        "--batch-size",
        "2",
        "--gradient-accumulation-steps",
        "2",
        "--learning-rate",
        "1e-3",
    ]
    command += ["--max-seq-length", "96", "--generation-tokens", "4", "--seed", "3"]
    command += ["--prompt", "Say \x1b[31m1."]
    assert main(command) == 0
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(names(out / "model"))
    told = capsys.readouterr().out
    for line in (
        "full fine-tuning of moxi:tiny",
        "held-out rows          1              5% of 20 rows",
        "micro-batch            2              as asked",
        "accumulation           2 ",
        "steps                  5 ",
        "before training, to: Say ·[31m1.",
        "5/5 ━━━━━━━━━━━━━━━━━━━━━━━━",
        f"model in {out}/model",
    ):
        assert line in told
    assert "\x1b" not in told


def test_flags_fill_the_settings(tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    flags = ["--dataset", "d", "--model", str(base), "--lora-rank", "8", "--prompt", "a"]
    flags += ["--batch-size", "2", "--gradient-accumulation-steps", "3", "--prompt", "b"]
    settings = read_task(flags).settings
    assert (settings.method, settings.lora_rank, settings.lora_alpha) == ("lora", 8, 16)
    assert (settings.micro_batch, settings.effective_batch) == (2, 6)
    assert settings.model == settings.model_path == str(base)
    assert settings.prompts == ("a", "b")
    assert read_task(["--dataset", "d", "--model", "moxi:tiny"]).settings.method == "full"
    assert read_task(["--dataset", "d", "--method", "lora"]).settings.learning_rate == 1.5e-3


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ([], "one of the arguments --dataset --job is required"),
        (["--dataset", "d", "--epochs", "0"], "0 is not a number above 0"),
        (["--dataset", "d", "--learning-rate", "nan"], "nan is not a number above 0"),
        (["--dataset", "d", "--warmup", "2"], "2 is not a number from 0 to 1"),
        (["--dataset", "d", "--seed", "-1"], "-1 is not a whole number below 2^32"),
        (["--dataset", "d", "--epochs", "many"], "many is not a number above 0"),
        (["--dataset", "d", "--batch-size", "1.5"], "1.5 is not a whole number above 0"),
        (["--dataset", "d", "--method", "dora"], "invalid choice: 'dora'"),
    ],
)
def test_wrong_flags_are_told(capsys, flags, told):
    with pytest.raises(SystemExit) as exit:
        main(flags)
    assert exit.value.code == 2
    assert told in capsys.readouterr().err


def test_the_last_line_of_a_failure_is_for_people(tmp_path, capsys):
    assert main(["--dataset", str(tmp_path / "none.json"), "--output-dir", str(tmp_path)]) == 1
    assert (
        capsys.readouterr().err
        == f"{tmp_path}/none.json cannot be read: No such file or directory\n"
    )
    dataset = tmp_path / "data.json"
    dataset.write_text('[{"instruction": "Go."}]')
    assert main(["--dataset", str(dataset), "--output-dir", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"{dataset}, row 1: no answer in output or content\n"


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB\nmore"), "Lower microBatch"),
        (MemoryError(), "out of memory: the system refused more"),
        (OSError(28, "No space left on device"), "the disk is full"),
        (ZeroDivisionError("odd"), "ZeroDivisionError: odd"),
    ],
)
def test_what_libraries_raise_is_told_as_what_to_do(tmp_path, capsys, monkeypatch, raised, told):
    def fail(*_):
        raise raised

    monkeypatch.setattr("moxi_train.finetune.rows.load", fail)
    assert main(["--dataset", "d.json", "--output-dir", str(tmp_path)]) == 1
    assert told in capsys.readouterr().err.splitlines()[-1]
