"""The values that job.json only refers to, read by a small program that alone gets credentials."""

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

READER = Path(__file__).with_name("read_parameters.py")
SECONDS = 120.0  # it asks again by itself when it is throttled
# Of AWS's variables, what leads to the job's role and no further: no key is ever used.
ROLE = re.compile(
    r"AWS_(CONTAINER_(CREDENTIALS_(RELATIVE|FULL)_URI|AUTHORIZATION_TOKEN(_FILE)?)"
    r"|ENDPOINT_URL(_SSM)?|USE_(FIPS|DUALSTACK)_ENDPOINT|CA_BUNDLE|EC2_METADATA_\w+)"
)
NETWORK = re.compile(r"(?i)(https?|all|no)_proxy|SSL_CERT_(FILE|DIR)|LD_LIBRARY_PATH")


class SecretError(Exception):
    """A value could not be read; says which, from where, and what is missing."""


def read_secrets(
    python: str,
    wanted: Sequence[Mapping[str, str]],
    credentials: Mapping[str, str],
    is_stopped: Callable[[], bool],
) -> dict[str, str]:
    """The values by the names of their variables; none of them if the job was asked to stop.

    `wanted` has {name, parameter, region} of each; `python` must find boto3. Raises SecretError.
    """
    if not wanted:
        return {}
    answer, readers_end = os.pipe()
    reader = subprocess.Popen(
        # Isolated: neither this folder nor a variable decides what it imports.
        [python, "-I", str(READER), str(readers_end), json.dumps([*wanted])],
        env={
            **{name: value for name, value in os.environ.items() if NETWORK.fullmatch(name)},
            **{name: value for name, value in credentials.items() if ROLE.fullmatch(name)},
            **dict.fromkeys(("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"), os.devnull),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[readers_end],
    )
    os.close(readers_end)
    try:
        until = time.monotonic() + SECONDS
        while reader.poll() is None and time.monotonic() < until:
            if is_stopped():
                return {}
            time.sleep(0.05)
    finally:
        reader.kill()
        reader.wait()
        with os.fdopen(answer, "rb") as pipe:
            told = pipe.read()
    names = ", ".join(secret["name"] for secret in wanted)
    if not told:
        raise SecretError(f"{names} could not be read: the reader ended without an answer")
    result = json.loads(told)
    if "error" in result:
        raise SecretError(result["error"])
    return result["values"]
