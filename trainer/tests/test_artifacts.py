"""The artifact: what its card tells, that others can read it, that it names no place of ours."""

import dataclasses
import hashlib
import json
import os

import pytest
from huggingface_hub import ModelCard
from support import make_task, rows, run

from moxi_train.finetune import card, tiny
from moxi_train.finetune import rows as dataset

BASE_ID = "someone/small-model"
COMMIT = "a" * 40
BASE_CARD = """---
license: other
license_name: small-licence
license_link: LICENSE
---
# A small model
"""


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    """LoRA on a model of the hub that was mirrored: its folder is one of the container's."""
    root = tmp_path_factory.mktemp("artifact")
    base = root / "input/data/model"
    tiny.build(rows(22), base, seed=1)
    (base / "README.md").write_text(BASE_CARD)
    task = make_task(
        root,
        model=BASE_ID,
        revision=COMMIT,
        model_path=str(base),
        method="lora",
        lora_rank=4,
        lora_alpha=8,
        eval_every_steps=5,
    )
    task = dataclasses.replace(task, provenance={"run": "moxi-a", "datasetFingerprint": "c" * 64})
    before = os.umask(0o027)
    try:
        code, told = run(task)
    finally:
        os.umask(before)
    assert code == 0
    return task, told


def test_everything_that_belongs_to_it_is_there(adapter):
    assert {path.name for path in adapter[0].artifact.iterdir()} == {
        *("adapter_model.safetensors", "adapter_config.json", "generation_config.json"),
        *("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"),
        *("metrics.csv", "moxi.run.json", "README.md"),
    }


def test_whoever_may_read_new_files_may_read_it(adapter):
    modes = {path.name: path.stat().st_mode & 0o777 for path in adapter[0].artifact.iterdir()}
    assert set(modes.values()) == {0o640}, modes


def test_the_base_is_named_by_its_real_id(adapter):
    task, _ = adapter
    config = json.loads((task.artifact / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == BASE_ID
    assert config["revision"] == COMMIT
    record = json.loads((task.artifact / "moxi.run.json").read_text())
    assert (record["base"]["id"], record["base"]["revision"]) == (BASE_ID, COMMIT)
    for path in task.artifact.iterdir():
        assert str(task.artifact.parent).encode() not in path.read_bytes(), path.name


def test_the_card_is_one_that_the_hub_reads(adapter):
    task, told = adapter
    text = (task.artifact / "README.md").read_text("utf-8")
    data = ModelCard(text).data
    assert (data.base_model, data.library_name) == (BASE_ID, "peft")
    assert data.license == "other"
    assert data.get("license_name") == "small-licence"
    assert data.get("license_link") == "LICENSE"
    assert "`small-licence`" in text
    assert "c" * 64 in text
    assert "| loraRank | 4 |" in text
    curve = [
        line.split(" | ") for line in text.splitlines() if line.startswith("| ") and "." in line
    ]
    losses = [f"{event['loss']:.4f}" for event in told.of("eval")]
    assert [row[3].rstrip(" |") for row in curve if len(row) == 4] == losses


@pytest.mark.parametrize("front", ["", "---\nlicense: [a, b]\n---\n", "---\n: {\n---\n", "\xff"])
def test_a_base_whose_card_tells_no_licence_stops_nothing(tmp_path, front):
    (tmp_path / "README.md").write_text(front, "latin-1")
    settings = make_task(tmp_path, model="./mine", model_path=str(tmp_path)).settings
    assert card.find_licence(settings, str(tmp_path)) is None


def test_a_long_curve_is_thinned_and_keeps_its_ends(adapter):
    task, _ = adapter
    record = json.loads((task.artifact / "moxi.run.json").read_text())
    history = [{"step": step, "epoch": step / 100, "eval_loss": 5.0} for step in range(0, 1001, 5)]
    text = card.write_card(record, history)
    steps = [
        int(line.split(" | ")[0][2:])
        for line in text.splitlines()
        if line.endswith(" | 5.0000 |") and line.startswith("| ")
    ]
    assert (steps[0], steps[-1], len(steps)) == (0, 1000, card.CURVE_ROWS)


def test_the_rows_are_named_as_the_command_line_names_them():
    """By the hash over the hashes of the files it writes: keys sorted, one row a line."""
    train = [{"text": "ä\u2028"}, {"messages": [{"role": "user", "content": "q", "weight": 0}]}]
    held_out = [{"text": "b", "group": "g"}]
    files = [
        '{"text":"ä\u2028"}\n{"messages":[{"content":"q","role":"user","weight":0}]}\n',
        '{"group":"g","text":"b"}\n',
    ]
    digests = [f"{hashlib.sha256(text.encode()).hexdigest()}\n" for text in files]
    for sides, names in (((train, held_out), digests), ((train, []), digests[:1])):
        expected = hashlib.sha256("".join(names).encode()).hexdigest()
        assert dataset.fingerprint(*sides) == expected
