"""Rows and split are those of the CLI: the shared vectors hold both languages to the same rules."""

import json
from pathlib import Path

import pytest

from moxi_train.finetune.canonical import RowProblem, canonical_row
from moxi_train.finetune.errors import TrainingError
from moxi_train.finetune.rows import held_out_rows, read

VECTORS = Path(__file__).parents[2] / "schema" / "vectors"


def vectors(name):
    cases = json.loads((VECTORS / name).read_text("utf-8"))
    return [pytest.param(case, id=case["name"]) for case in cases]


@pytest.mark.parametrize("case", vectors("rows.json"))
def test_rows_become_what_the_cli_makes_of_them(case):
    try:
        outcome = {"canonical": canonical_row(case["row"], case.get("groupBy"))}
    except RowProblem as problem:
        outcome = {"error": {"field": problem.field, "reason": problem.reason}}
    assert outcome == {key: case[key] for key in ("canonical", "error") if key in case}


@pytest.mark.parametrize("case", vectors("split.json"))
def test_the_same_rows_are_held_out_as_by_the_cli(case):
    chosen = held_out_rows(case["rows"], case["evalFraction"], case["maxEvalRows"])
    assert sorted(chosen) == case["heldOut"]


def test_an_array_and_lines_are_read_alike(tmp_path):
    rows = [{"text": "a\u2028b"}, {"instruction": "Go.", "output": "ok"}]
    array, lines = tmp_path / "a.json", tmp_path / "b.json"
    array.write_text("\ufeff \n" + json.dumps(rows, indent=1), "utf-8")
    lines.write_text(
        "\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n\n", "utf-8"
    )
    assert read(array) == read(lines) == [canonical_row(row) for row in rows]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"text":"a"}\n{"text": }', "line 2, column 10: this is not JSON"),
        ('[{"text":"a"},\n {"text":"b"}', "line 2, column"),
        (
            '{"text":"a"}\n{"txt":"b"}\n{"text":" "}',
            'line 2: the row has none of .*: it has "txt"; .*line 3: text is blank',
        ),
        ('{"text":NaN}', "NaN is no JSON number"),
        ("[" * 100_000, "this is not JSON"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path, content, told):
    path = tmp_path / "rows.jsonl"
    path.write_text(content, "utf-8")
    with pytest.raises(TrainingError, match=told):
        read(path)


def test_a_file_that_is_not_utf8_is_told(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"text":"caf\xe9"}')
    with pytest.raises(TrainingError, match="not UTF-8"):
        read(path)
