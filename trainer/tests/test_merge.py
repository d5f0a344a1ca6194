"""`python -m moxi_train.merge`: the merged model answers as base plus adapter does."""

import json
import subprocess
import sys

import pytest
import torch
from support import TRAINER, make_task, names, rows, run

from moxi_train import merge
from moxi_train.finetune import tiny


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(the base's folder, the adapter's), the adapter far enough from zero to be seen."""
    root = tmp_path_factory.mktemp("merge")
    tiny.build(rows(22), root / "base", seed=1)
    settings = {"model": "./base", "model_path": str(root / "base"), "method": "lora"}
    task = make_task(root, **settings, lora_rank=4, lora_alpha=8, learning_rate=2e-2)
    assert run(task)[0] == 0
    return root / "base", task.artifact


def logits(model):
    ids = torch.tensor([list(range(40))])
    with torch.no_grad():
        return model.eval()(ids).logits


def load(folder):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder)


def test_merged_logits_are_those_of_base_plus_adapter(trained, tmp_path):
    from peft import PeftModel

    base, adapter = trained
    merge.merge(adapter, str(base), None, tmp_path / "merged")
    expected = logits(PeftModel.from_pretrained(load(base), adapter))
    torch.testing.assert_close(logits(load(tmp_path / "merged")), expected, atol=1e-5, rtol=0)
    assert (logits(load(base)) - expected).abs().max() > 1e-2


def test_it_is_a_whole_model_that_tells_what_it_is(trained, tmp_path):
    base, adapter = trained
    merge.merge(adapter, str(base), None, tmp_path / "merged")
    assert names(tmp_path / "merged") == sorted(
        [
            *("README.md", "chat_template.jinja", "config.json", "generation_config.json"),
            *("metrics.csv", "model.safetensors", "moxi.run.json"),
            *("tokenizer.json", "tokenizer_config.json"),
        ]
    )
    card = (tmp_path / "merged/README.md").read_text("utf-8")
    assert 'library_name: "transformers"' in card
    assert "A LoRA adapter, merged into `base`" in card
    curve = [
        line for line in (adapter / "README.md").read_text("utf-8").splitlines() if "|" in line
    ]
    assert [line for line in card.splitlines() if "|" in line] == curve
    record = json.loads((tmp_path / "merged/moxi.run.json").read_text("utf-8"))
    assert (record["kind"], record["merged"]) == ("model", True)
    for path in (tmp_path / "merged").iterdir():
        assert (
            path.stat().st_mode & 0o777
            == (tmp_path / "merged/moxi.run.json").stat().st_mode & 0o777
        )
        assert str(base.parent).encode() not in path.read_bytes(), path.name


def test_it_is_stored_as_precisely_as_the_base(trained, tmp_path):
    from safetensors.torch import load_file

    base, adapter = trained
    load(base).to(torch.bfloat16).save_pretrained(tmp_path / "base16")
    for path in base.glob("token*"):
        (tmp_path / "base16" / path.name).write_bytes(path.read_bytes())
    merge.merge(adapter, str(tmp_path / "base16"), None, tmp_path / "merged")
    stored = load_file(tmp_path / "merged/model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.bfloat16}


def test_when_it_fails_nothing_is_left_and_what_was_there_stays(trained, tmp_path, monkeypatch):
    base, adapter = trained
    output = tmp_path / "merged"
    output.mkdir()
    (output / "old").write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(merge.artifacts, "write_record", full)
    arguments = ["--adapter", str(adapter), "--base", str(base), "--output", str(output)]
    assert merge.main(arguments) == 1
    assert names(tmp_path) == ["merged"]
    assert names(output) == ["old"]


def test_as_a_program_it_tells_in_json(trained, tmp_path):
    base, adapter = trained
    command = [sys.executable, "-m", "moxi_train.merge", "--adapter", str(adapter)]
    told = []
    for source in (base, tmp_path / "none"):
        done = subprocess.run(
            [*command, "--base", str(source), "--output", str(tmp_path / "merged")],
            cwd=TRAINER,
            capture_output=True,
            text=True,
            check=False,
        )
        told.append((done.returncode, json.loads(done.stdout.splitlines()[-1])))
    assert told[0] == (0, {"files": 9, "bytes": told[0][1]["bytes"]})
    assert told[0][1]["bytes"] > 10_000
    code, answer = told[1]
    assert code == 1
    assert "none" in answer["error"]["message"]
