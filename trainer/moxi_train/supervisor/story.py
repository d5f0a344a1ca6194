"""The run's story as the supervisor tells it: events are stamped and kept, all else is log."""

import collections
import contextlib
import datetime
import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

from moxi_train.supervisor.redact import Redactor

MAX_LINE = 16 * 1024  # bytes; log services cut longer lines, and a cut event is lost
HEARTBEAT_SECONDS = 60.0
PREFIX = b"@moxi:"
STAMP = ("v", "run", "attempt", "boot", "seq", "at")
TOLD_BY_TRAINER = (
    *("phase", "decision", "alert", "resumed", "step", "eval", "generation", "checkpoint"),
    "artifact",
)


class LineFile:
    """Appends whole lines. A full disk loses lines; it does not end the training."""

    def __init__(self, descriptor: int, torn: bool = False):
        self.descriptor, self.torn = descriptor, torn

    def write(self, line: bytes) -> None:
        data = b"\n" * self.torn + line + b"\n"
        self.torn = True
        with contextlib.suppress(OSError):
            while data:
                data = data[os.write(self.descriptor, data) :]
            self.torn = False


class LineReader:
    """Cuts a stream into lines, at the carriage returns of progress bars too; drops empty ones.

    Of a line that is too long it keeps one byte more than MAX_LINE, which says so.
    """

    def __init__(self) -> None:
        self.rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        *lines, rest = re.split(rb"[\r\n]", self.rest + data)
        self.rest = rest[: MAX_LINE + 1]
        return (line[: MAX_LINE + 1] for line in lines if line)


class Log:
    """What the trainer prints, escaped so that no line of it can be taken for an event."""

    def __init__(self, console: LineFile):
        self.console = console
        self.tail: collections.deque[str] = collections.deque(maxlen=200)
        self.redactor = Redactor({})

    def write(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace")
        text = self.redactor.text(text, is_cut=len(line) > MAX_LINE)
        self.tail.append(text)
        data = b"\\" * line.startswith(PREFIX) + text.encode()
        if len(data) > MAX_LINE:
            data = data[: MAX_LINE - 3].decode("utf-8", "ignore").encode() + "…".encode()
        self.console.write(data)


class Story:
    """The only stamper of events: (attempt, boot, seq) is their identity and their order."""

    def __init__(self, job: dict, path: Path, log: Log):
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        self.file, self.log = LineFile(descriptor, torn), log
        self.mark = PREFIX + job["nonce"].encode() + b" "
        boot = last_boot(path, job["attempt"]) + 1
        self.stamp = {"v": 1, "run": job["run"], "attempt": job["attempt"], "boot": boot}
        self.seq = 0
        self.refused = False
        self.spoke = time.monotonic()

    def say(self, type: str, **body: object) -> None:
        """Stamps an event, keeps it, mirrors it. Raises ValueError if no reader could take it."""
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        stamp = {**self.stamp, "seq": self.seq + 1, "at": now.replace("+00:00", "Z")}
        text = json.dumps(
            {**stamp, "type": type, **self.log.redactor.body(body)},
            ensure_ascii=False,
            allow_nan=False,
            separators=(",", ":"),
        )
        line = text.encode("utf-8", "replace")
        if len(self.mark + line) > MAX_LINE:
            raise ValueError("it is longer than 16 KiB")
        self.seq += 1
        self.file.write(line)
        self.log.console.write(self.mark + line)
        self.spoke = time.monotonic()

    def relay(self, line: bytes) -> None:
        """Says what the trainer wrote to the pipe, if it is an event that the trainer may tell."""
        try:
            body = json.loads(line.decode())
            if not isinstance(body, dict) or body.get("type") not in TOLD_BY_TRAINER:
                raise ValueError("it is no event that the trainer may tell")
            if any(key in body for key in STAMP):
                raise ValueError("it brings a stamp of its own")
            self.say(**body)
        except (ValueError, TypeError, RecursionError) as error:
            self.log.write(f"moxi: left out an event of the trainer: {error}".encode())
            if not self.refused:
                self.refused = True
                message = f"An event of the trainer was left out: {error}"[:500]
                self.say("alert", level="warning", code="event-refused", message=message)

    def beat(self) -> None:
        """Says that nothing has ended, once nothing else was said for a while."""
        if time.monotonic() - self.spoke >= HEARTBEAT_SECONDS:
            self.say("heartbeat")


def last_boot(path: Path, attempt: int) -> int:
    """The newest boot of this attempt so far; passes over lines that a crash tore."""
    boot = 0
    with path.open("rb") as lines:
        for line in lines:
            with contextlib.suppress(ValueError, KeyError, TypeError):
                event = json.loads(line)
                if event["attempt"] == attempt:
                    boot = max(boot, event["boot"])
    return boot
