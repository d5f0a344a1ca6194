"""A container without a container engine: a process in a session, a home and a root of its own."""

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

from images import Image

INSIDE = "/opt/ml"


class Container:
    """Runs one image's entry point below `folder`. What it calls /opt/ml is `folder`/ml.

    Where the real thing sees /opt/ml, the process gets the real path: in its arguments, its
    variables and MOXI_ML_ROOT.
    """

    def __init__(self, image: Image, folder: Path) -> None:
        self.image, self.folder, self.root = image, folder, folder / "ml"
        self._process: subprocess.Popen | None = None

    def prepare(self, request: dict, kind: str) -> None:
        """Writes the configuration that SageMaker gives to every container."""
        config = self.root / "input/config"
        for place in (
            config,
            self.root / "input/data",
            self.root / "model",
            self.root / "output/data",
        ):
            place.mkdir(parents=True, exist_ok=True)
        channels = {
            channel["ChannelName"]: {
                "TrainingInputMode": channel.get("InputMode", "File"),
                "S3DistributionType": "FullyReplicated",
                "RecordWrapperType": "None",
            }
            for channel in request.get("InputDataConfig", [])
        }
        hosts = [f"algo-{n + 1}" for n in range(request["ResourceConfig"].get("InstanceCount", 1))]
        resources = {
            "current_host": hosts[0],
            "current_instance_type": kind,
            "current_group_name": "homogeneousCluster",
            "hosts": hosts,
            "instance_groups": [
                {"instance_group_name": "homogeneousCluster", "instance_type": kind, "hosts": hosts}
            ],
            "network_interface_name": "eth0",
        }
        for name, value in (
            ("hyperparameters", request.get("HyperParameters", {})),
            ("inputdataconfig", channels),
            ("resourceconfig", resources),
        ):
            (config / f"{name}.json").write_text(json.dumps(value))

    def start(
        self, request: dict, environment: dict[str, str], on_line: Callable[[bytes], None]
    ) -> None:
        algorithm = request["AlgorithmSpecification"]
        command = [
            *algorithm.get("ContainerEntrypoint", []),
            *algorithm.get("ContainerArguments", []),
        ]
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        given = {
            "PATH": os.pathsep.join([str(Path(self.image.python).parent), "/usr/bin", "/bin"]),
            "HOME": str(home),
            "LANG": "C.UTF-8",
            **request.get("Environment", {}),
            **environment,
            "MOXI_ML_ROOT": str(self.root),
        }
        self._process = subprocess.Popen(
            [self._real(word) for word in command],
            cwd=self.folder,
            env={name: self._real(value) for name, value in given.items()},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, args=(on_line,), daemon=True)
        self._reader.start()

    def wait(self, seconds: float) -> int | None:
        """The exit code, 128 + n for signal n; None while it runs."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        self.kill()  # what the first process left behind ends with its container
        self._reader.join(5)
        return code if code >= 0 else 128 - code

    def terminate(self) -> None:
        """SIGTERM to the first process alone, as `docker stop` does."""
        self._process.send_signal(signal.SIGTERM)

    def kill(self) -> bool:
        if self._process is None:  # it never came to that
            return False
        for group in self._groups():
            try:
                os.killpg(group, signal.SIGKILL)
            except ProcessLookupError:
                continue
        return True

    def failure(self) -> str:
        """What the container wrote to say why it failed."""
        try:
            return (self.root / "output/failure").read_text("utf-8", "replace")[:1024]
        except OSError:
            return ""

    def _groups(self) -> set[int]:
        """The process groups of the container's session: the trainer leads one of its own."""
        groups = {self._process.pid}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == self._process.pid:
                groups.add(int(fields[2]))
        return groups

    def _read(self, on_line: Callable[[bytes], None]) -> None:
        for line in self._process.stdout:
            on_line(line.rstrip(b"\n"))

    def _real(self, text: str) -> str:
        if text == INSIDE or text.startswith(f"{INSIDE}/"):
            return str(self.root) + text[len(INSIDE) :]
        return text
