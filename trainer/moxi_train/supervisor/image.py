"""What the machine gives to the training program: packages, CUDA libraries, variables."""

import importlib.util
import json
import os
import re
import site
import subprocess
import venv
from collections.abc import Sequence
from pathlib import Path

# All that the training program sees of the environment. Nothing of AWS: no key can reach a log.
PASSED_ON = re.compile(
    r"PATH|HOME|USER|LOGNAME|LANG|LANGUAGE|LC_\w+|TZ|TMPDIR|LD_LIBRARY_PATH"
    r"|(HF|CUDA|NVIDIA|NCCL|PYTORCH|TRITON|TORCHINDUCTOR|OMP|MKL|OPENBLAS|TOKENIZERS)_\w+"
    r"|TORCH_HOME|XDG_CACHE_HOME|(https?|all|no)_proxy|(HTTPS?|ALL|NO)_PROXY"
    r"|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE"
)


def trainer_environment(root: Path, processes: int, trackers: Sequence[str]) -> dict[str, str]:
    """The allowed part of this environment, and the names that SageMaker's own toolkit sets.

    Raises ValueError when the job was started on more than one machine.
    """
    allowed = {
        key: value
        for key, value in os.environ.items()
        if PASSED_ON.fullmatch(key)
        or key.startswith(tuple(f"{name.upper()}_" for name in trackers))
    }
    if processes == 1:
        # One process that sees several GPUs would share them out in transformers' slowest way.
        allowed["CUDA_VISIBLE_DEVICES"] = allowed.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    compatibility = cuda_compatibility(
        Path("/proc/driver/nvidia/version"), Path("/usr/local/cuda/compat")
    )
    if compatibility is not None:
        known = [compatibility, allowed.get("LD_LIBRARY_PATH")]
        allowed["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, known))
    config = root / "input/config/resourceconfig.json"
    resources = json.loads(config.read_text("utf-8")) if config.exists() else {}
    hosts = resources.get("hosts", ["algo-1"])
    if len(hosts) > 1:
        raise ValueError(f"the job was started on {len(hosts)} machines, and trains on one")
    data = root / "input/data"
    channels = sorted(folder.name for folder in data.iterdir() if folder.is_dir())
    return {
        **allowed,
        "MOXI_ML_ROOT": str(root),
        "PYTHONPATH": str(data / "moxi"),
        "PYTHONUNBUFFERED": "1",
        # By itself torchrun gives its workers 30 s to save, once it was asked to stop.
        "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": "110",
        "SM_INPUT_DIR": str(root / "input"),
        "SM_INPUT_CONFIG_DIR": str(root / "input/config"),
        "SM_MODEL_DIR": str(root / "model"),
        "SM_OUTPUT_DIR": str(root / "output"),
        "SM_OUTPUT_DATA_DIR": str(root / "output/data"),
        "SM_CHANNELS": json.dumps(channels),
        **{f"SM_CHANNEL_{name.upper()}": str(data / name) for name in channels},
        "SM_HOSTS": json.dumps(hosts),
        "SM_CURRENT_HOST": resources.get("current_host", hosts[0]),
        "SM_CURRENT_INSTANCE_TYPE": resources.get("current_instance_type", "local"),
    }


def cuda_compatibility(driver: Path, libraries: Path) -> str | None:
    """CUDA's forward-compatibility libraries, if the image's CUDA is newer than the driver.

    The images' own hook exports LD_LIBRARY_PATH in a shell that ends before the training starts.
    """
    try:
        loaded = re.search(r"Kernel Module.*?\s(\d+(?:\.\d+)+)", driver.read_text())
        brought = re.search(r"\.so\.(\d+(?:\.\d+)+)$", str((libraries / "libcuda.so.1").readlink()))
    except OSError:
        return None
    if loaded is None or brought is None or version(loaded[1]) >= version(brought[1]):
        return None
    return str(libraries)


def version(text: str) -> list[int]:
    return [int(part) for part in text.split(".")]


def python_with_wheels(wheels: Path, place: Path) -> tuple[str, str]:
    """Makes an environment over this Python's packages with the bundled wheels before them.

    No index is asked and nothing is resolved: the lock decided, and the meter runs. Returns the
    environment's Python and what pip said; raises RuntimeError when pip failed.
    """
    # Debian's Python may lack ensurepip; an environment that uv made lacks pip.
    lacks_pip = importlib.util.find_spec("pip") is None
    venv.EnvBuilder(system_site_packages=True, with_pip=lacks_pip).create(place)
    # An environment made from another sees the packages of the Python below both, not of the other.
    packages = next(place.glob("lib/python*/site-packages"))
    (packages / "_moxi_image.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    python = str(place / "bin/python")
    install = [python, "-m", "pip", "install", "--no-index", "--no-deps", "--no-input"]
    done = subprocess.run(
        [*install, "--disable-pip-version-check", *map(str, sorted(wheels.glob("*.whl")))],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if done.returncode != 0:
        last = done.stdout.strip().splitlines()[-1:] or [f"pip ended with {done.returncode}"]
        raise RuntimeError(f"the bundled wheels could not be installed: {last[0]}")
    return python, done.stdout
