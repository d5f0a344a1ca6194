"""The rows of a task: canonical JSONL in a job, one file of any supported form alone."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .canonical import Row, RowProblem, canonical_row
from .config import Task
from .errors import TrainingError
from .events import Story

SHOWN_PROBLEMS = 5


def load(task: Task, story: Story) -> tuple[list[Row], list[Row]]:
    """(rows to train on, held-out rows). Raises TrainingError with the place of what is wrong."""
    if task.dataset is None:
        train = [row for path in task.train for row in read(path)]
        held_out = [row for path in task.eval for row in read(path)]
    else:
        rows = read(task.dataset, task.group_by)
        chosen = held_out_rows(rows, task.eval_fraction, task.max_eval_rows)
        train = [row for index, row in enumerate(rows) if index not in chosen]
        held_out = [rows[index] for index in sorted(chosen)]
        by = f"by {task.group_by}" if task.group_by else "by content"
        most = f"at most {task.max_eval_rows}"
        reason = f"{task.eval_fraction:.0%} of {len(rows)} rows, {most}, chosen {by}"
        story.decide("held-out rows", len(held_out), reason)
    if not train:
        where = task.dataset or task.checkpoints.parent / "input/data/train"
        raise TrainingError("no-rows", f"there are no rows to train on in {where}")
    if not held_out:
        story.alert(
            "info",
            "no-held-out-rows",
            "no rows are held out: nothing will tell what was learned from what was memorised",
        )
    return train, held_out


def read(path: Path, group_by: str | None = None) -> list[Row]:
    """The rows of a JSON array or of JSON Lines, in canonical form."""
    rows: list[Row] = []
    problems: list[str] = []
    for place, value in _values(path):
        try:
            rows.append(canonical_row(value, group_by))
        except RowProblem as problem:
            problems.append(f"{place}: {problem}")
    if problems:
        shown = "; ".join(problems[:SHOWN_PROBLEMS])
        more = len(problems) - SHOWN_PROBLEMS
        raise TrainingError("rows-invalid", shown + (f"; and {more} more" if more > 0 else ""))
    return rows


def fingerprint(train: Sequence[Row], held_out: Sequence[Row]) -> str:
    """What the CLI names these canonical rows by: SHA-256 over the SHA-256 of each side's file."""
    digests = ""
    for side in filter(None, (train, held_out)):
        lines = hashlib.sha256()
        for row in side:
            lines.update(f"{_canonical_text(row)}\n".encode())
        digests += f"{lines.hexdigest()}\n"
    return hashlib.sha256(digests.encode()).hexdigest()


def split_key(row: Row) -> int:
    """What keeps rows together: equal keys (one group, the same content) are on one side.

    64 bits of the SHA-256 of `group:` and the group, or of `row:` and the row as JSON with sorted
    keys.
    """
    text = f"group:{row['group']}" if "group" in row else f"row:{_canonical_text(row)}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])


def held_out_rows(rows: Sequence[Row], fraction: float, most: int) -> set[int]:
    """Indices of the rows to hold out: the same rows give the same choice, whatever their order.

    The target is `fraction` of the rows, rounded half up and at least 1, at most `most` and all
    rows but one. Keys are taken in ascending order while their rows fit below it; if none fits, the
    one with the fewest rows.
    """
    keys = [split_key(row) for row in rows]
    sizes = Counter(keys)
    room = min(max(1, math.floor(fraction * len(rows) + 0.5)), most, len(rows) - 1)
    if fraction == 0 or room < 1 or len(sizes) < 2:
        return set()
    chosen: set[int] = set()
    for key in sorted(sizes):
        if sizes[key] <= room:
            chosen.add(key)
            room -= sizes[key]
    if not chosen:
        chosen.add(min(sizes, key=lambda key: (sizes[key], key)))
    return {index for index, key in enumerate(keys) if key in chosen}


def _canonical_text(row: Row) -> str:
    return json.dumps(row, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _values(path: Path) -> Iterator[tuple[str, Any]]:
    """Each row as JSON gives it, with its place for people."""
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TrainingError(
            "dataset-encoding", f"{path} is not UTF-8 (byte {error.start})", "Save it as UTF-8."
        ) from error
    except OSError as error:
        raise TrainingError(
            "dataset-missing", f"{path} cannot be read: {error.strerror}"
        ) from error
    if text.lstrip(" \t\r\n").startswith("["):
        for index, value in enumerate(_parse(text, path, 1)):
            yield f"{path}, row {index + 1}", value
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip(" \t\r"):
            yield f"{path}, line {number}", _parse(line, path, number)


def _parse(text: str, path: Path, line: int) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        place = f"{path}, line {line + error.lineno - 1}, column {error.colno}"
        raise TrainingError("dataset-syntax", f"{place}: this is not JSON: {error.msg}") from error
    except (RecursionError, ValueError) as error:
        raise TrainingError(
            "dataset-syntax", f"{path}, line {line}: this is not JSON: {error}"
        ) from error


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")
