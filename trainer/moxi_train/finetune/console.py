"""The story of a run for a person at a terminal, when no supervisor listens."""

import math
import shutil
import time
from typing import Any, TextIO

from .config import Task

BAR = 24  # characters
LINES = 200  # of steps in a run, about
LINE_SECONDS = 0.5  # between two of them, at least


class Console:
    """Prints events as lines: nothing is drawn over, so that the output reads as well in a file."""

    def __init__(self, out: TextIO, task: Task):
        self._out = out
        self._last_line = 0.0
        self._started = time.monotonic()
        self._first_loss: float | None = None
        self._folder = task.artifact
        self._print(f"Moxi · {task.settings.method} fine-tuning of {task.settings.model}")

    def emit(self, type: str, **body: Any) -> None:
        getattr(self, f"_{type}")(**body)

    def _phase(self, name: str, detail: str | None = None) -> None:
        self._print(f"\n{name}" + (f" · {detail}" if detail else ""))

    def _decision(self, name: str, value: Any, reason: str) -> None:
        self._print(f"  {name:<22} {_value(value):<14} {reason}")

    def _step(self, step: int, steps: int, loss: float, learningRate: float, **more: Any) -> None:
        now = time.monotonic()
        sparse = step % max(1, steps // LINES) or now - self._last_line < LINE_SECONDS
        if sparse and step not in (1, steps):
            return
        self._last_line = now
        done = round(BAR * step / steps)
        self._print(
            f"  {step:>{len(str(steps))}}/{steps} {'━' * done}{'─' * (BAR - done)}"
            f"  loss {loss:7.4f}  lr {learningRate:.1e}"
            f"  {more['tokensPerSecond'] or 0:>8,.0f} tok/s  {now - self._started:>5.0f} s"
        )

    def _eval(self, step: int, loss: float, rows: int, tokens: int, seconds: float) -> None:
        if self._first_loss is None:
            self._first_loss = loss
        share = f"  {loss / self._first_loss:.2f} x the first" if step else "  before training"
        self._print(
            f"  held-out loss {loss:.4f}{share}  perplexity {math.exp(min(loss, 700)):.4g}"
            f"  ({rows} rows, {tokens:,} tokens, {seconds:.1f} s)"
        )

    def _generation(self, step: int, index: int, prompt: str, text: str) -> None:
        when = "before training" if step == 0 else f"after step {step}"
        self._print(f"\n  answer {index + 1}, {when}, to: {_short(prompt)}")
        for line in _printable(text).strip("\n").split("\n"):
            self._print(f"  │ {line}")
        self._print("")

    def _checkpoint(self, step: int, name: str, bytes: int) -> None:
        self._print(f"  checkpoint {name}  {_size(bytes)}")

    def _resumed(self, fromStep: int) -> None:
        self._print(f"  going on from step {fromStep}")

    def _alert(self, level: str, code: str, message: str, hint: str | None = None) -> None:
        if level != "error":  # errors end the program, which says them last
            self._print(f"  {level}: {message}" + (f". {hint}" if hint else ""))

    def _artifact(self, kind: str, files: int, bytes: int) -> None:
        self._print(f"  {kind} in {self._folder}  {files} files, {_size(bytes)}")

    def _print(self, line: str) -> None:
        width = shutil.get_terminal_size().columns
        if self._out.isatty() and len(line) > width and not line.lstrip().startswith("│"):
            line = line[: width - 1] + "…"
        print(line, file=self._out, flush=True)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _short(text: str) -> str:
    line = " ".join(_printable(text).split())
    return line if len(line) <= 72 else f"{line[:71]}…"


def _printable(text: str) -> str:
    """Text of a model or a dataset without what would command a terminal."""
    return "".join(
        each if each.isprintable() or each == "\n" else "·" for each in text.replace("\t", "    ")
    )


def _size(count: int) -> str:
    amount = float(count)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"
