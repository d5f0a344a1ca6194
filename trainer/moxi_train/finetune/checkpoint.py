"""Checkpoints that are whole or not there: written aside, flushed, renamed, listed with hashes.

A checkpoint is a folder `step-000040/` with `manifest.json`, which names every other file with its
size and SHA-256. A folder without a manifest, or with a file that does not match it, was torn by a
crash or a full disk and is skipped.
"""

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MANIFEST = "manifest.json"
_NAME = re.compile(r"step-(\d{6,})")


@dataclass(frozen=True)
class Checkpoint:
    step: int
    path: Path

    @property
    def task(self) -> str:
        """What was trained when this was written: see `writing`."""
        return json.loads((self.path / MANIFEST).read_text("utf-8"))["task"]


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """A new folder to fill, which takes the place of `folder` when the block ends, in one step.

    On an error nothing is left and an older `folder` stays as it was.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    for path in sorted(partial.rglob("*")):
        _flush(path)
    _flush(partial)
    _take_place(partial, folder)
    _flush(folder.parent)


@contextmanager
def writing(checkpoints: Path, step: int, task: str) -> Iterator[Path]:
    """The folder to write the checkpoint of `step` into; it counts once the block has ended.

    `task` stands for what is trained: nothing else may go on from this checkpoint.
    """
    with replacing(checkpoints / f"step-{step:06d}") as folder:
        yield folder
        files = {
            path.relative_to(folder).as_posix(): {
                "bytes": path.stat().st_size,
                "sha256": _sha256(path),
            }
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        manifest = {"formatVersion": 1, "step": step, "task": task, "files": files}
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", "utf-8")


def newest_valid(checkpoints: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint whose files are as they were written; why each newer one is not."""
    faults = []
    for checkpoint in reversed(_all(checkpoints)):
        fault = _fault(checkpoint.path)
        if fault is None:
            return checkpoint, faults
        faults.append(f"{checkpoint.path.name}: {fault}")
    return None, faults


def find(checkpoints: Path, step: int) -> Checkpoint | None:
    """The checkpoint of `step`, if it is there and as it was written."""
    path = checkpoints / f"step-{step:06d}"
    return Checkpoint(step, path) if path.is_dir() and _fault(path) is None else None


def is_disk_full(error: BaseException) -> bool:
    """Whether a write failed for want of room; libraries tell it in words of their own."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return True
    words = ("No space left on device", "quota exceeded", "iostream error")  # the last is torch's
    return any(word in str(each) for each in (error, error.__context__) for word in words)


def prune(checkpoints: Path, keep: int, best: int | None) -> None:
    """Removes all but the newest `keep` and that of step `best`, and what crashes left behind."""
    for checkpoint in _all(checkpoints)[:-keep]:
        if checkpoint.step != best:
            shutil.rmtree(checkpoint.path)
    for leftover in checkpoints.glob(".step-*"):
        shutil.rmtree(leftover, ignore_errors=True)


def folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _all(checkpoints: Path) -> list[Checkpoint]:
    if not checkpoints.is_dir():
        return []
    found = ((path, _NAME.fullmatch(path.name)) for path in checkpoints.iterdir())
    return sorted(
        (Checkpoint(int(name[1]), path) for path, name in found if name), key=lambda each: each.step
    )


def _fault(folder: Path) -> str | None:
    try:
        files = json.loads((folder / MANIFEST).read_text("utf-8"))["files"]
        for name, expected in files.items():
            path = folder / name
            if path.stat().st_size != expected["bytes"]:
                return f"{name} has {path.stat().st_size} bytes instead of {expected['bytes']}"
            if _sha256(path) != expected["sha256"]:
                return f"{name} is not as it was written"
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"its manifest cannot be read ({error})"
    return None


def _take_place(partial: Path, folder: Path) -> None:
    try:
        if folder.exists() and any(folder.iterdir()):
            # A folder with content cannot be renamed over; what it holds is worthless from here on.
            doomed = folder.with_name(f".{folder.name}.old")
            shutil.rmtree(doomed, ignore_errors=True)
            folder.rename(doomed)
            partial.rename(folder)
            shutil.rmtree(doomed)
        else:
            partial.rename(folder)
    except OSError as error:
        if error.errno not in (errno.EBUSY, errno.EXDEV):
            raise
        # Containers mount some folders from outside, and a mount point cannot be renamed: fill it.
        for path in sorted(partial.iterdir()):
            shutil.move(path, folder / path.name)
            _flush(folder / path.name)
        partial.rmdir()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    """Waits until a file's content, or a folder's names, would survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
