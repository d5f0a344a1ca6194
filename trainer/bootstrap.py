"""Supervises one attempt of a run: starts the training program, tells its story, ends when it ends.

    python bootstrap.py [--job FILE]

The same file runs in a container and on this machine, on the standard library alone. Below
MOXI_ML_ROOT (default /opt/ml) it reads input/data/job/job.json, starts moxi_train.finetune.main
from input/data/moxi, keeps the story in checkpoints/events.ndjson, and in output/failure why a run
failed. Its stdout is log, except what stands behind "@moxi:<nonce> ": the events once more.
"""

import argparse
import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from moxi_train.supervisor.cause import cause, cut
from moxi_train.supervisor.credentials import set_aside
from moxi_train.supervisor.image import python_with_wheels, trainer_environment
from moxi_train.supervisor.machine import hold_machine, identity, write_atomic
from moxi_train.supervisor.parameters import read_secrets
from moxi_train.supervisor.redact import Redactor
from moxi_train.supervisor.story import LineFile, LineReader, Log, Story

KILL_SECONDS = 115.0  # a container is killed 120 s after it was asked to stop
DRAIN_SECONDS = 5.0  # a helper that outlives the trainer may hold its stdout open for ever
TICK_SECONDS = 0.1
RESERVE_BYTES = 64 * 1024
STOPPED = 128 + signal.SIGTERM
TORCHRUN_STOPPED = "torch.distributed.elastic.multiprocessing.api.SignalException"


class Stop:
    """The wish to end early: SIGTERM, SIGINT, the time limit. A terminal that goes away is none."""

    def __init__(self) -> None:
        self.asked = False
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.ask)

    def ask(self, *_: object) -> None:
        self.asked = True


def trainer_command(python: str, job_path: Path, processes: int) -> list[str]:
    program = ["-m", "moxi_train.finetune.main", "--job", str(job_path)]
    if processes == 1:
        return [python, *program]
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return [python, *launcher, *program]


def die_with(parent: int) -> Callable[[], None] | None:
    """Lets Linux kill the trainer with its supervisor: no training goes on that nobody tells of."""
    if sys.platform != "linux":
        return None
    import ctypes

    prctl, set_death_signal = ctypes.CDLL(None).prctl, 1

    def after_fork() -> None:
        prctl(set_death_signal, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(128 + signal.SIGKILL)

    return after_fork


def supervise(
    command: list[str],
    environment: dict[str, str],
    pipe: Path,
    limit: float | None,
    story: Story,
    stop: Stop,
    on_start: Callable[[int], None],
) -> int:
    """Runs the trainer to its end; returns its exit code, 128 + n for signal n.

    One loop reads both streams and looks at the clock: no threads, so nothing can wait for itself.
    """
    os.mkfifo(pipe, 0o600)
    events = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    os.open(pipe, os.O_WRONLY)  # while one writer stays, the pipe never reads as ended
    output, trainer_end = os.pipe()
    streams = selectors.DefaultSelector()
    streams.register(events, selectors.EVENT_READ, (LineReader(), story.relay))
    streams.register(output, selectors.EVENT_READ, (LineReader(), story.log.write))

    def pump(seconds: float) -> bool:
        ready = streams.select(seconds)
        for key, _ in ready:
            reader, sink = key.data
            data = os.read(key.fd, 1 << 16)
            if not data:
                streams.unregister(key.fd)
            for line in reader.feed(data or b"\n"):
                sink(line)
        return bool(ready)

    def signal_group(number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(trainer.pid, number)

    trainer = subprocess.Popen(
        command,
        cwd=environment["PYTHONPATH"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=trainer_end,
        stderr=trainer_end,
        process_group=0,
        preexec_fn=die_with(os.getpid()),
    )
    os.close(trainer_end)
    begun, kill_at = time.monotonic(), None
    try:
        on_start(trainer.pid)
        while trainer.poll() is None:
            pump(TICK_SECONDS)
            story.beat()
            now = time.monotonic()
            if limit is not None and now - begun >= limit and not stop.asked:
                message = f"The time limit of {limit:g} s is reached: the run saves and ends."
                story.say("alert", level="warning", code="time-limit", message=message)
                stop.ask()
            if stop.asked and kill_at is None:
                signal_group(signal.SIGTERM)
                kill_at = now + KILL_SECONDS
            elif kill_at is not None and now >= kill_at:
                signal_group(signal.SIGKILL)
    finally:
        signal_group(signal.SIGKILL)
        trainer.wait()
    patience = time.monotonic() + DRAIN_SECONDS
    while time.monotonic() < patience and (pump(0.05) or output in streams.get_map()):
        pass
    return trainer.returncode if trainer.returncode >= 0 else 128 - trainer.returncode


def run_trainer(
    root: Path, job_path: Path, job: dict, credentials: dict[str, str], story: Story, stop: Stop
) -> int:
    """Gets the machine, the packages, the secrets and the environment ready, then trains."""
    me = root / f"output/attempt-{job['attempt']}.pid.json"
    write_atomic(me, identity(os.getpid()))
    story.say("phase", name="starting")
    lock = os.environ.get("MOXI_MACHINE_LOCK")
    holder = {"run": job["run"], "folder": str(root), **identity(os.getpid())}
    if lock and not hold_machine(Path(lock), holder, story, lambda: stop.asked):
        return STOPPED
    with tempfile.TemporaryDirectory(prefix="moxi-", ignore_cleanup_errors=True) as private:
        python, wheels = sys.executable, root / "input/data/moxi/wheels"
        if wheels.is_dir():
            python, said = python_with_wheels(wheels, Path(private) / "python")
            for line in said.encode().splitlines():
                story.log.write(line)
        secrets = read_secrets(python, job["secrets"], credentials, lambda: stop.asked)
        story.log.redactor = Redactor(secrets)
        if stop.asked:
            return STOPPED
        pipe = Path(private) / "events"
        return supervise(
            trainer_command(python, job_path, job["processes"]),
            {
                **trainer_environment(root, job["processes"], job["trainer"]["trackers"]),
                **secrets,
                "MOXI_EVENTS": str(pipe),
            },
            pipe,
            job["maxSeconds"],
            story,
            stop,
            lambda pid: write_atomic(me, {**identity(os.getpid()), "trainer": identity(pid)}),
        )


def main(arguments: list[str] | None = None) -> int:
    credentials = set_aside()
    stop = Stop()
    root = Path(os.environ.get("MOXI_ML_ROOT") or "/opt/ml").absolute()
    parser = argparse.ArgumentParser(description="Runs one attempt of a run.")
    parser.add_argument("--job", type=Path, default=root / "input/data/job/job.json")
    job_path = parser.parse_args(arguments).job.absolute()
    for name in ("model", "checkpoints", "output"):
        (root / name).mkdir(parents=True, exist_ok=True)
    failure, log = root / "output/failure", Log(LineFile(sys.stdout.fileno()))
    failure.unlink(missing_ok=True)
    try:
        job = json.loads(job_path.read_text("utf-8"))
        story = Story(job, root / "checkpoints/events.ndjson", log)
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = cut(f"{job_path} is no job that can be run: {type(error).__name__}: {error}")
        failure.write_text(message, "utf-8")
        log.write(f"moxi: {message}".encode())
        return 1

    # A disk that the training filled must still have room for how it ended.
    reserve = root / "output/.reserve"
    with contextlib.suppress(OSError):
        reserve.write_bytes(bytes(RESERVE_BYTES))
    try:
        code = run_trainer(root, job_path, job, credentials, story, stop)
        why = cause(code, KILL_SECONDS if stop.asked else None, [*log.tail])
    except Exception as error:  # whatever happened, the story gets its end
        code, why = 1, cut(f"{type(error).__name__}: {error}")
    with contextlib.suppress(OSError):
        reserve.unlink(missing_ok=True)

    if code == 0:
        story.say("end", outcome="succeeded", exitCode=0)
    elif stop.asked and (code == STOPPED or why.startswith(TORCHRUN_STOPPED)):
        story.say("end", outcome="stopped", exitCode=STOPPED)
        return STOPPED
    else:
        with contextlib.suppress(OSError):
            failure.write_text(why, "utf-8")
        story.say("end", outcome="failed", exitCode=code, error=why)
    return code


if __name__ == "__main__":
    sys.exit(main())
