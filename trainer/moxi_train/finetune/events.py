"""The run's story: events for the supervisor, one JSON object a line, through a named pipe.

In a job the supervisor makes the pipe, stamps every event (run, attempt, order, time) and keeps it;
stdout is log and nothing that is written there can become an event. The bodies are those of
`schema/event.json`.
"""

import errno
import json
import math
import os
import time
from typing import Any, Protocol

# An event may have 16 KiB with its stamp; the stamp takes less than 512 bytes.
MAX_BYTES = 16 * 1024 - 512


class Reporter(Protocol):
    """Where events go: the supervisor's pipe, a person's terminal, a test's list."""

    def emit(self, type: str, **body: Any) -> None: ...


class Story:
    """What the training program says; every kind of event goes through `emit`."""

    def __init__(self, reporter: Reporter):
        self.emit = reporter.emit
        self.decisions: dict[str, str | float | bool | None] = {}
        self._alerted: set[str] = set()

    def phase(self, name: str, detail: str | None = None) -> None:
        self.emit("phase", name=name, **({} if detail is None else {"detail": detail}))

    def decide(self, name: str, value: str | float | bool | None, reason: str) -> None:
        self.decisions[name] = value
        self.emit("decision", name=name, value=value, reason=reason)

    def alert(self, level: str, code: str, message: str, hint: str | None = None) -> None:
        """Says it once: the same code again is the same news."""
        if code not in self._alerted:
            self._alerted.add(code)
            hints = {} if hint is None else {"hint": hint}
            self.emit("alert", level=level, code=code, message=message, **hints)


class Pipe:
    """Writes events to the supervisor's named pipe.

    When nobody reads it any more the process ends at once: training on unseen would spend a user's
    time and money on something that nobody can watch, stop or find.
    """

    def __init__(self, path: str, patience: float = 10.0):
        """Opens the pipe. Raises OSError if nobody reads it within `patience` seconds."""
        deadline = time.monotonic() + patience
        while True:
            try:
                self._pipe = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
                break
            except OSError as error:
                if error.errno != errno.ENXIO or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
        os.set_blocking(self._pipe, True)

    def emit(self, type: str, **body: Any) -> None:
        line = encode({"type": type, **body}) + b"\n"
        try:
            while line:
                line = line[os.write(self._pipe, line) :]
        except BrokenPipeError:
            os._exit(1)


class Silent:
    """Says nothing: every process of a distributed run but the first."""

    def emit(self, type: str, **body: Any) -> None:
        pass


def encode(event: dict[str, Any]) -> bytes:
    """One line of ASCII JSON: numbers that JSON lacks are null, long texts are cut to fit."""
    event = {key: _plain(value) for key, value in event.items()}
    line = json.dumps(event)
    if len(line) > MAX_BYTES:
        texts = sorted(
            (key for key in event if isinstance(event[key], str)), key=lambda key: len(event[key])
        )
        room = MAX_BYTES - len(json.dumps(event | dict.fromkeys(texts, "")))
        for others, key in zip(range(len(texts), 0, -1), texts, strict=True):
            event[key] = _cut(event[key], room // others)
            room -= len(json.dumps(event[key])) - 2
        line = json.dumps(event)
    return line.encode("ascii")


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str):
        # Half a surrogate pair is legal in JSON text and nowhere else.
        return value.encode("utf-8", "replace").decode("utf-8")
    return value


def _cut(text: str, room: int) -> str:
    """The longest beginning of `text`, with an ellipsis if cut, of `room` bytes in ASCII JSON."""
    sizes = [len(json.dumps(character)) - 2 for character in text]
    if sum(sizes) <= room:
        return text
    used = len(json.dumps("…")) - 2
    for index, size in enumerate(sizes):
        used += size
        if used > room:
            return text[:index] + "…"
    return text
