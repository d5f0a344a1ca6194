"""One run at a time on a machine, and how a run's processes are known again."""

import fcntl
import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from moxi_train.supervisor.story import Story

TICK_SECONDS = 0.1


def identity(pid: int) -> dict[str, object]:
    """A process's id and its start in the kernel's words: an id alone is given out again."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
        return {"pid": pid, "startTime": stat.rpartition(")")[2].split()[19]}
    except OSError:
        command = ["/bin/ps", "-o", "lstart=", "-p", str(pid)]
        environment = {"LC_ALL": "C", "TZ": "UTC"}
        answer = subprocess.run(command, env=environment, capture_output=True, text=True)
        return {"pid": pid, "startTime": " ".join(answer.stdout.split())}


def write_atomic(path: Path, value: object) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(value))
    temporary.replace(path)


def hold_machine(path: Path, holder: dict, story: Story, stopped: Callable[[], bool]) -> bool:
    """Waits until no other run trains on this machine; false if asked to stop meanwhile.

    The descriptor is never closed and nobody inherits it: the kernel frees the lock when this
    process is no more, however it ended.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    waited = False
    while not stopped():
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not waited:
                story.say("phase", name="waiting", detail="another run trains on this machine")
            waited = True
            story.beat()
            time.sleep(TICK_SECONDS)
            continue
        except OSError:  # a file system without locks: better to train than not
            return True
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(holder).encode(), 0)
        if waited:
            story.say("phase", name="starting")
        return True
    return False
