"""Checkpoints are whole or skipped, whatever happened while they were written."""

import json

import pytest
from support import names

from moxi_train.finetune import checkpoint


def write(checkpoints, step, content=b"weights"):
    with checkpoint.writing(checkpoints, step, "task") as folder:
        (folder / "model.safetensors").write_bytes(content)
        (folder / "deeper").mkdir()
        (folder / "deeper" / "state.json").write_text("{}")


def test_the_newest_is_found_by_step_not_by_name(tmp_path):
    for step in (900_000, 40, 1_000_000):
        write(tmp_path, step)
    found, faults = checkpoint.newest_valid(tmp_path)
    assert (found.step, found.path.name, faults) == (1_000_000, "step-1000000", [])
    assert found.task == "task"
    assert names(tmp_path) == ["step-000040", "step-1000000", "step-900000"]


def test_none_is_found_where_none_is(tmp_path):
    assert checkpoint.newest_valid(tmp_path / "missing") == (None, [])
    (tmp_path / "base").mkdir()
    (tmp_path / "step-7").mkdir()
    assert checkpoint.newest_valid(tmp_path) == (None, [])


@pytest.mark.parametrize(
    ("tear", "told"),
    [
        (
            lambda folder: (folder / "model.safetensors").write_bytes(b"weight"),
            "has 6 bytes instead of 7",
        ),
        (
            lambda folder: (folder / "model.safetensors").write_bytes(b"weighty"),
            "is not as it was written",
        ),
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors is missing"),
        (lambda folder: (folder / "deeper" / "state.json").write_text("[]"), "deeper/state.json"),
        (lambda folder: (folder / "manifest.json").unlink(), "manifest.json is missing"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "manifest cannot be read"),
        (lambda folder: (folder / "manifest.json").write_text("[]"), "manifest cannot be read"),
    ],
)
def test_a_torn_one_is_skipped_and_told(tmp_path, tear, told):
    write(tmp_path, 10)
    write(tmp_path, 20)
    tear(tmp_path / "step-000020")
    found, faults = checkpoint.newest_valid(tmp_path)
    assert found.step == 10
    assert len(faults) == 1
    assert faults[0].startswith("step-000020: ")
    assert told in faults[0]


def test_a_crash_while_writing_leaves_no_checkpoint(tmp_path):
    with pytest.raises(RuntimeError), checkpoint.writing(tmp_path, 10, "task") as folder:
        (folder / "model.safetensors").write_bytes(b"half")
        raise RuntimeError
    assert names(tmp_path) == []


def test_the_manifest_names_every_file(tmp_path):
    write(tmp_path, 10)
    manifest = json.loads((tmp_path / "step-000010" / "manifest.json").read_text())
    assert list(manifest["files"]) == ["deeper/state.json", "model.safetensors"]


def test_pruning_keeps_the_newest_the_best_and_removes_leftovers(tmp_path):
    for step in (10, 20, 30, 40):
        write(tmp_path, step)
    (tmp_path / ".step-000050.partial").mkdir()
    (tmp_path / "base").mkdir()
    checkpoint.prune(tmp_path, keep=2, best=10)
    assert names(tmp_path) == ["base", "step-000010", "step-000030", "step-000040"]


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path):
    folder = tmp_path / "model"
    for content in ("old", "new"):
        with checkpoint.replacing(folder) as partial:
            (partial / content).write_text(content)
    assert names(folder) == ["new"]
    with pytest.raises(RuntimeError), checkpoint.replacing(folder) as partial:
        (partial / "newer").write_text("half")
        raise RuntimeError
    assert names(tmp_path) == ["model"]
    assert names(folder) == ["new"]


def test_a_folder_that_cannot_be_renamed_is_filled(tmp_path, monkeypatch):
    folder = tmp_path / "model"
    folder.mkdir()
    rename = type(folder).rename

    def busy(path, target):
        if target == folder or path == folder:
            raise OSError(16, "Device or resource busy")  # what a mount point answers
        return rename(path, target)

    monkeypatch.setattr(type(folder), "rename", busy)
    with checkpoint.replacing(folder) as partial:
        (partial / "weights").write_text("whole")
    assert names(tmp_path) == ["model"]
    assert (folder / "weights").read_text() == "whole"
