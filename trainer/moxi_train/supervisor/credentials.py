"""AWS's variables, out of the environment that other processes inherit and /proc shows."""

import json
import os
import sys
from typing import NoReturn

HANDED_ON = "MOXI_CREDENTIALS_FD"


def set_aside() -> dict[str, str]:
    """The AWS_* variables that this process was started with; its environment has none afterwards.

    A process's first environment stays readable in /proc/<pid>/environ whatever it unsets, so the
    program starts itself once more, as the same process, and gets the variables through a pipe.
    """
    descriptor = os.environ.pop(HANDED_ON, None)
    if descriptor is not None:
        with os.fdopen(int(descriptor), encoding="utf-8") as pipe:
            return json.load(pipe)
    aside = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    if aside:
        start_again(aside)
    return {}


def start_again(aside: dict[str, str]) -> NoReturn:
    read, write = os.pipe()
    os.set_inheritable(read, True)
    with os.fdopen(write, "w", encoding="utf-8") as pipe:
        json.dump(aside, pipe)
    kept = {name: value for name, value in os.environ.items() if name not in aside}
    command = [sys.executable, *sys.orig_argv[1:]]
    os.execve(sys.executable, command, {**kept, HANDED_ON: str(read)})
