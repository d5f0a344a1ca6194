"""bootstrap.py as a container starts it: real processes, a small program in the trainer's place."""

import fcntl
import importlib.machinery
import json
import os
import shutil
import signal
import site
import subprocess
import sys
import textwrap
import time
import zipfile
from pathlib import Path

import jsonschema
import pytest

import bootstrap
from moxi_train.supervisor import cause, image
from moxi_train.supervisor.story import MAX_LINE

TRAINER = Path(__file__).parents[1]
SCHEMA = jsonschema.Draft202012Validator(
    json.loads((TRAINER.parent / "schema/event.json").read_text("utf-8"))
)
NONCE = "0123456789abcdef" * 2
JOB = {
    "run": "moxi-test",
    "attempt": 1,
    "nonce": NONCE,
    "maxSeconds": None,
    "processes": 1,
    "secrets": [],
    "trainer": {"trackers": []},
}

SPEAK = """
import json, os, signal, subprocess, sys, time
pipe = os.open(os.environ["MOXI_EVENTS"], os.O_WRONLY)
def raw(data): os.write(pipe, data)
def emit(type, **body): raw(json.dumps({"type": type, **body}).encode() + b"\\n")
"""
SAVE_ON_TERM = """
def save(*_):
    emit("checkpoint", step=3, name="step-3", bytes=1)
    sys.exit(143)
signal.signal(signal.SIGTERM, save)
emit("phase", name="training")
"""


class Attempt:
    """An ML root with a program, and what running it left."""

    def __init__(self, root: Path, program: str, **job: object):
        self.root, self.code = root, root / "input/data/moxi"
        package = self.code / "moxi_train"
        shutil.copytree(
            TRAINER / "moxi_train/supervisor", package / "supervisor", dirs_exist_ok=True
        )
        shutil.copy(TRAINER / "bootstrap.py", self.code)
        (package / "__init__.py").write_text("")
        (package / "finetune").mkdir(exist_ok=True)
        (package / "finetune/__init__.py").write_text("")
        (package / "finetune/main.py").write_text(SPEAK + textwrap.dedent(program))
        (root / "input/data/job").mkdir(exist_ok=True)
        (root / "input/data/job/job.json").write_text(json.dumps(JOB | job))
        self.log = ""

    def start(
        self, *, settings: str = "", python: str | Path = sys.executable, **environment: str
    ) -> subprocess.Popen[str]:
        """Starts the supervisor; `settings` changes its constants: no test waits a minute."""
        start = [str(self.code / "bootstrap.py")]
        if settings:
            lines = ["import bootstrap", "from moxi_train.supervisor import story", settings]
            start = ["-c", "\n".join([*lines, "raise SystemExit(bootstrap.main([]))"])]
        return subprocess.Popen(
            [str(python), *start],
            env=os.environ | {"MOXI_ML_ROOT": str(self.root)} | environment,
            cwd=self.code,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def finish(self, process: subprocess.Popen[str]) -> int:
        self.log, _ = process.communicate(timeout=30)
        return process.returncode

    def run(self, **options: str | Path) -> int:
        return self.finish(self.start(**options))

    @property
    def events(self) -> list[dict]:
        """The story as it lies on disk, each event as the schema wants it."""
        lines = (self.root / "checkpoints/events.ndjson").read_text("utf-8").splitlines()
        events = [json.loads(line) for line in lines]
        for event in events:
            SCHEMA.validate(event)
        return events

    @property
    def mirrored(self) -> list[dict]:
        mark = f"@moxi:{NONCE} "
        return [
            json.loads(line[len(mark) :]) for line in self.log.split("\n") if line.startswith(mark)
        ]

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self.events]

    @property
    def end(self) -> dict:
        ends = [event for event in self.events if event["type"] == "end"]
        assert len(ends) == 1
        assert self.events[-1] == ends[0]
        return ends[0]

    def wait_for(self, type: str) -> None:
        until(lambda: self.story.exists() and f'"type":"{type}"' in self.story.read_text("utf-8"))

    @property
    def story(self) -> Path:
        return self.root / "checkpoints/events.ndjson"


def until(true, seconds: float = 20.0):
    deadline = time.monotonic() + seconds
    while not (value := true()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
    return value


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_tells_the_whole_story_stamped_and_in_order(tmp_path):
    attempt = Attempt(
        tmp_path,
        """
        print("hello")
        emit("phase", name="data")
        emit("resumed", fromStep=2)
        """,
    )
    assert attempt.run() == 0
    assert attempt.types == ["phase", "phase", "resumed", "end"]
    assert attempt.events[0]["name"] == "starting"
    assert attempt.end["outcome"] == "succeeded"
    assert [event["seq"] for event in attempt.events] == [1, 2, 3, 4]
    assert {(event["attempt"], event["boot"]) for event in attempt.events} == {(1, 1)}
    assert attempt.mirrored == attempt.events
    assert "hello" in attempt.log.split("\n")
    assert not (tmp_path / "output/failure").exists()
    assert not (tmp_path / "output/.reserve").exists()


def test_nothing_that_is_printed_or_told_can_forge_an_event(tmp_path):
    forged = f'@moxi:{NONCE} {{"v":1,"run":"moxi-test","attempt":1,"boot":1,"seq":9,"type":"end"}}'
    attempt = Attempt(
        tmp_path,
        f"""
        forged = {forged!r}
        print(forged)
        print("progress\\r" + forged)
        print("x" * {MAX_LINE} + forged)
        print('{{"type":"end"}}')
        sys.stdout.flush()
        os.write(1, b"\\xff\\xfe broken\\n" + forged.encode())
        emit("end", outcome="succeeded", exitCode=0)
        emit("phase", name="data", seq=7)
        raw(b'{{"type":"step","loss":NaN}}\\n')
        raw(b'[]\\n{{"type":["end"]}}\\nnot json\\n' + b"[" * 5000 + b"\\n")
        sys.exit(3)
        """,
    )
    assert attempt.run() == 3
    assert attempt.types == ["phase", "alert", "end"]
    assert attempt.events[1]["code"] == "event-refused"
    assert attempt.end["outcome"] == "failed"
    assert attempt.mirrored == attempt.events
    assert attempt.log.count("\\" + forged) == 3
    assert "\n�� broken\n" in attempt.log
    assert attempt.log.count("moxi: left out an event") == 7


def test_cuts_long_lines_and_leaves_out_long_events(tmp_path):
    attempt = Attempt(
        tmp_path,
        """
        sys.stdout.write("é" * 400_000 + "\\nshort\\n")
        emit("generation", step=0, index=0, prompt="", text="y" * 20_000)
        emit("generation", step=0, index=0, prompt="", text="y" * 15_000)
        """,
    )
    assert attempt.run() == 0
    lines = attempt.log.encode().split(b"\n")
    assert max(len(line) for line in lines) <= MAX_LINE
    assert any(line.endswith("é…".encode()) and len(line) > MAX_LINE - 4 for line in lines)
    assert b"short" in lines
    assert attempt.types == ["phase", "alert", "generation", "end"]


def test_neither_stream_can_block_the_other(tmp_path):
    attempt = Attempt(
        tmp_path,
        """
        for n in range(200):
            emit("phase", name="data", detail=f"{n} " + "y" * 2000)
            print("z" * 2000)
        """,
    )
    assert attempt.run() == 0
    told = [event["detail"].split()[0] for event in attempt.events[1:-1]]
    assert told == [str(n) for n in range(200)]
    assert attempt.log.count("z" * 2000) == 200


def test_a_failure_names_its_exception_first(tmp_path):
    attempt = Attempt(
        tmp_path,
        """
        def train():
            raise ValueError("the loss is not finite " + "𝄞" * 2000)
        print("a line before")
        train()
        """,
    )
    assert attempt.run() == 1
    assert attempt.end["outcome"] == "failed"
    assert attempt.end["exitCode"] == 1
    error = attempt.end["error"]
    assert error.startswith("ValueError: the loss is not finite")
    assert len(error.encode("utf-16-le")) // 2 <= 1024
    assert (tmp_path / "output/failure").read_text("utf-8") == error


def test_a_failure_keeps_the_calls_that_led_to_it(tmp_path):
    attempt = Attempt(tmp_path, "def train(): raise KeyError('x')\ntrain()")
    assert attempt.run() == 1
    lines = attempt.end["error"].splitlines()
    assert lines[0] == "KeyError: 'x'"
    assert any("in train" in line for line in lines[1:])


def test_a_failure_without_an_exception_has_the_last_line_or_says_so(tmp_path):
    told = Attempt(tmp_path / "a", "print('one'); print('the disk is full'); sys.exit(4)")
    assert told.run() == 4
    assert told.end["error"] == "the disk is full"
    silent = Attempt(tmp_path / "b", "sys.exit(4)")
    assert silent.run() == 4
    assert "exit code 4" in silent.end["error"]


@pytest.mark.parametrize(
    ("number", "says"), [(signal.SIGKILL, "out of memory"), (signal.SIGSEGV, "signal 11")]
)
def test_a_trainer_that_a_signal_ended_has_failed(tmp_path, number, says):
    attempt = Attempt(tmp_path, f"os.kill(os.getpid(), {int(number)})")
    assert attempt.run() == 128 + number
    assert attempt.end["exitCode"] == 128 + number
    assert attempt.end["outcome"] == "failed"
    assert says in attempt.end["error"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_keeps_a_checkpoint(tmp_path, number):
    attempt = Attempt(tmp_path, SAVE_ON_TERM + "time.sleep(60)")
    process = attempt.start()
    attempt.wait_for("phase")
    until(lambda: attempt.types.count("phase") == 2)
    process.send_signal(signal.SIGHUP)
    process.send_signal(number)
    process.send_signal(number)
    assert attempt.finish(process) == 143
    assert attempt.types == ["phase", "phase", "checkpoint", "end"]
    assert attempt.end["outcome"] == "stopped"


def test_a_stop_before_the_trainer_listens_is_a_stop_too(tmp_path):
    attempt = Attempt(tmp_path, "emit('phase', name='model'); time.sleep(60)")
    process = attempt.start()
    until(lambda: attempt.story.exists() and '"model"' in attempt.story.read_text("utf-8"))
    process.terminate()
    assert attempt.finish(process) == 143
    assert attempt.end["outcome"] == "stopped"


def test_a_trainer_that_will_not_stop_is_killed_with_its_helpers(tmp_path):
    attempt = Attempt(
        tmp_path,
        """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        helper = subprocess.Popen(["sleep", "60"])
        emit("resumed", fromStep=helper.pid)
        time.sleep(60)
        """,
    )
    process = attempt.start(settings="bootstrap.KILL_SECONDS = 0.3")
    attempt.wait_for("resumed")
    process.terminate()
    assert attempt.finish(process) == 137
    assert attempt.end["outcome"] == "failed"
    assert "was killed: it did not end" in attempt.end["error"]
    helper = next(event["fromStep"] for event in attempt.events if event["type"] == "resumed")
    until(lambda: not alive(helper))


def test_a_helper_that_keeps_stdout_open_does_not_keep_the_run(tmp_path):
    program = "emit('resumed', fromStep=subprocess.Popen(['sleep', '60']).pid)"
    attempt = Attempt(tmp_path, program)
    assert attempt.run(settings="bootstrap.DRAIN_SECONDS = 60") == 0
    until(lambda: not alive(attempt.events[1]["fromStep"]))


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_the_last_words_are_heard_though_the_trainer_has_gone(tmp_path):
    attempt = Attempt(
        tmp_path,
        """
        emit("resumed", fromStep=os.getpid())
        while not os.path.exists("go"):
            time.sleep(0.01)
        emit("phase", name="saving")
        os.write(1, b"last words")
        """,
    )
    process = attempt.start()
    attempt.wait_for("resumed")
    process.send_signal(signal.SIGSTOP)
    (attempt.code / "go").touch()
    until(lambda: not alive(attempt.events[1]["fromStep"]))
    process.send_signal(signal.SIGCONT)
    assert attempt.finish(process) == 0
    assert attempt.types == ["phase", "resumed", "phase", "end"]
    lines = attempt.log.split("\n")
    assert lines.index("last words") < len(lines) - 2


def test_the_time_limit_is_a_stop(tmp_path):
    attempt = Attempt(tmp_path, SAVE_ON_TERM + "time.sleep(60)", maxSeconds=1)
    assert attempt.run() == 143
    assert attempt.types == ["phase", "phase", "alert", "checkpoint", "end"]
    assert attempt.events[2]["code"] == "time-limit"
    assert attempt.end["outcome"] == "stopped"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems know no death signal")
def test_no_trainer_outlives_its_supervisor(tmp_path):
    attempt = Attempt(tmp_path, "emit('resumed', fromStep=os.getpid()); time.sleep(60)")
    process = attempt.start()
    attempt.wait_for("resumed")
    trainer = attempt.events[-1]["fromStep"]
    left = json.loads((tmp_path / "output/attempt-1.pid.json").read_text())
    assert (left["pid"], left["trainer"]["pid"]) == (process.pid, trainer)
    process.kill()
    process.communicate()
    until(lambda: not alive(trainer))
    assert "end" not in attempt.types


def test_a_heartbeat_breaks_a_long_silence(tmp_path):
    attempt = Attempt(tmp_path, "time.sleep(1)")
    assert attempt.run(settings="story.HEARTBEAT_SECONDS = 0.3") == 0
    assert attempt.types.count("heartbeat") >= 2


def test_the_pipe_may_be_closed_and_opened_again(tmp_path):
    attempt = Attempt(
        tmp_path,
        """
        emit("phase", name="data")
        os.close(pipe)
        time.sleep(0.5)
        pipe = os.open(os.environ["MOXI_EVENTS"], os.O_WRONLY)
        emit("phase", name="model")
        """,
    )
    assert attempt.run() == 0
    assert [event.get("name") for event in attempt.events] == ["starting", "data", "model", None]


def test_a_new_boot_counts_on_and_heals_a_torn_line(tmp_path):
    attempt = Attempt(tmp_path, "emit('phase', name='data')")
    (tmp_path / "output").mkdir()
    (tmp_path / "output/failure").write_text("of an earlier boot")
    assert attempt.run() == 0
    assert not (tmp_path / "output/failure").exists()
    with attempt.story.open("a") as story:
        story.write('{"v":1,"run":"moxi-test","attem')
    assert attempt.run() == 0
    lines = attempt.story.read_text("utf-8").splitlines()
    assert lines.pop(3) == '{"v":1,"run":"moxi-test","attem'
    stamps = [(event["boot"], event["seq"]) for event in map(json.loads, lines)]
    assert stamps == [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3)]
    Attempt(tmp_path, "", attempt=2).run()
    last = json.loads(attempt.story.read_text("utf-8").splitlines()[-1])
    assert (last["attempt"], last["boot"]) == (2, 1)


def test_the_trainer_sees_an_allow_list_and_the_places(tmp_path):
    attempt = Attempt(
        tmp_path, "print('ENV', json.dumps(dict(os.environ))); print('CWD', os.getcwd())"
    )
    (tmp_path / "input/data/train").mkdir()
    secrets = {"AWS_SECRET_ACCESS_KEY": "s", "AWS_SECRET_KEY": "s", "PYTHONDONTWRITEBYTECODE": "1"}
    secrets["SM_FOO"] = "1"
    allowed = {"HF_TOKEN": "hf_x", "HTTPS_PROXY": "http://p", "LC_ALL": "C"}
    code = attempt.run(**secrets, **allowed, CUDA_VISIBLE_DEVICES="2,3")
    assert code == 0
    lines = attempt.log.split("\n")
    seen = json.loads(next(line for line in lines if line.startswith("ENV "))[4:])
    assert not set(secrets) & set(seen)
    assert seen.items() >= allowed.items()
    assert seen["CUDA_VISIBLE_DEVICES"] == "2"
    assert seen["MOXI_ML_ROOT"] == str(tmp_path)
    assert seen["SM_CHANNEL_TRAIN"] == str(tmp_path / "input/data/train")
    assert json.loads(seen["SM_CHANNELS"]) == ["job", "moxi", "train"]
    assert f"CWD {attempt.code}" in lines
    pipe = Path(seen["MOXI_EVENTS"])
    assert not pipe.parent.exists()


def test_the_pipe_is_private(tmp_path):
    attempt = Attempt(
        tmp_path,
        """
        place = os.environ["MOXI_EVENTS"]
        print("MODES", oct(os.stat(os.path.dirname(place)).st_mode), oct(os.stat(place).st_mode))
        """,
    )
    attempt.run()
    assert "MODES 0o40700 0o10600" in attempt.log


def test_a_broken_job_is_a_failure_with_its_cause(tmp_path):
    attempt = Attempt(tmp_path, "")
    (tmp_path / "input/data/job/job.json").write_text("{")
    assert attempt.run() == 1
    assert "job.json is no job" in (tmp_path / "output/failure").read_text()


def test_more_than_one_machine_is_refused(tmp_path):
    attempt = Attempt(tmp_path, "")
    (tmp_path / "input/config").mkdir()
    hosts = {"current_host": "algo-1", "hosts": ["algo-1", "algo-2"]}
    (tmp_path / "input/config/resourceconfig.json").write_text(json.dumps(hosts))
    assert attempt.run() == 1
    assert "2 machines" in attempt.end["error"]


def test_a_log_that_cannot_be_written_does_not_end_the_training(tmp_path):
    attempt = Attempt(tmp_path, "print('x'); emit('phase', name='data')")
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, str(attempt.code / "bootstrap.py")]
        done = subprocess.run(command, stdout=full, env={"MOXI_ML_ROOT": str(tmp_path)}, timeout=30)
    assert done.returncode == 0
    assert attempt.types == ["phase", "phase", "end"]


def test_a_full_disk_still_hears_how_it_ended(tmp_path):
    attempt = Attempt(
        tmp_path / "run",
        """
        with open(os.path.join(os.environ["MOXI_ML_ROOT"], "model/weights"), "wb") as file:
            while True:
                file.write(bytes(4096))
                file.flush()
        """,
    )
    disk = tmp_path / "disk"
    disk.mkdir()
    script = f"""
        mount -t tmpfs -o size=1m tmpfs {disk} || exit 99
        cp -r {attempt.root}/. {disk}
        cd {disk} && MOXI_ML_ROOT={disk} "$0" input/data/moxi/bootstrap.py > log
        code=$?
        cp checkpoints/events.ndjson output/failure log {tmp_path}
        exit $code
    """
    command = ["unshare", "-Urm", "sh", "-c", script, sys.executable]
    done = subprocess.run(command, capture_output=True, timeout=30)
    if done.returncode == 99 or b"unshare" in done.stderr:
        pytest.skip("this system lets us mount nothing")
    assert done.returncode == 1
    kept = (tmp_path / "events.ndjson").read_text().splitlines()[-1]
    end = json.loads(kept)
    assert (end["type"], end["outcome"]) == ("end", "failed")
    assert end["error"].startswith("OSError: [Errno 28] No space left on device")
    assert (tmp_path / "failure").read_text() == end["error"]
    assert (tmp_path / "log").read_text().splitlines()[-1] == f"@moxi:{NONCE} {kept}"


class TestOneRunAMachine:
    def test_waits_for_the_other_and_says_who_trains(self, tmp_path):
        lock = tmp_path / "machine.lock"
        attempt = Attempt(
            tmp_path / "run",
            """
            print("LOCK", open(os.environ["HF_LOCK"]).read())
            places = [f"/proc/self/fd/{n}" for n in range(3, 20)]
            print("OPEN", [os.readlink(place) for place in places if os.path.exists(place)])
            """,
        )
        with lock.open("w") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            process = attempt.start(MOXI_MACHINE_LOCK=str(lock), HF_LOCK=str(lock))
            until(lambda: attempt.story.exists() and "waiting" in attempt.story.read_text())
        assert attempt.finish(process) == 0
        names = [event["name"] for event in attempt.events if event["type"] == "phase"]
        assert names == ["starting", "waiting", "starting"]
        told = next(line for line in attempt.log.split("\n") if line.startswith("LOCK "))
        holder = json.loads(told[5:])
        assert (holder["run"], holder["pid"]) == ("moxi-test", process.pid)
        assert holder["folder"] == str(tmp_path / "run")
        assert holder["startTime"]
        inherited = next(line for line in attempt.log.split("\n") if line.startswith("OPEN "))
        assert "events" in inherited
        assert "machine.lock" not in inherited

    def test_can_be_stopped_while_it_waits(self, tmp_path):
        lock = tmp_path / "machine.lock"
        attempt = Attempt(tmp_path / "run", "print('TRAINED')")
        with lock.open("w") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            process = attempt.start(MOXI_MACHINE_LOCK=str(lock))
            until(lambda: attempt.story.exists() and "waiting" in attempt.story.read_text())
            process.terminate()
            assert attempt.finish(process) == 143
        assert attempt.end["outcome"] == "stopped"
        assert "TRAINED" not in attempt.log


class TestSeveralProcesses:
    def test_are_started_by_torchrun(self):
        command = bootstrap.trainer_command("py", Path("/job.json"), 4)
        assert command[:5] == [
            *["py", "-m", "torch.distributed.run", "--standalone"],
            "--nproc-per-node=4",
        ]
        assert command[5:] == ["-m", "moxi_train.finetune.main", "--job", "/job.json"]

    def test_the_cause_is_the_worker_s_exception_not_the_launcher_s(self):
        worker = ["Traceback (most recent call last):", "  in train", "ValueError: x"]
        launcher = [worker[0], "  in run", f"{cause.TORCHRUN_FAILED}: rank 1 failed"]
        assert cause.exception([*worker, "more", *launcher]) == ["ValueError: x", "  in train"]


def wheel(folder: Path, version: str, body: str) -> None:
    """The smallest wheel that pip takes."""
    info = f"moxi_probe-{version}.dist-info"
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / f"moxi_probe-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr("moxi_probe.py", body)
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: moxi-probe\nVersion: {version}\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")


def test_bundled_wheels_are_installed_over_the_image(tmp_path):
    image_has = importlib.machinery.PathFinder.find_spec("packaging", site.getsitepackages())
    program = "import moxi_probe, packaging; print(moxi_probe.ANSWER, packaging.__file__)"
    attempt = Attempt(tmp_path, program)
    wheel(attempt.code / "wheels", "1.0", "ANSWER = 'from the wheel'\n")
    assert attempt.run() == 0
    assert f"from the wheel {image_has.origin}" in attempt.log


def test_wheels_that_cannot_be_installed_are_a_failure_with_its_cause(tmp_path, monkeypatch):
    def create(_, place):
        (place / "bin").mkdir(parents=True)
        (place / "lib/python3/site-packages").mkdir(parents=True)
        (place / "bin/python").write_text("#!/bin/sh\necho reading; echo no wheel; exit 1\n")
        (place / "bin/python").chmod(0o755)

    monkeypatch.setattr(image.venv.EnvBuilder, "create", create)
    with pytest.raises(RuntimeError, match="could not be installed: no wheel"):
        image.python_with_wheels(tmp_path, tmp_path / "python")


@pytest.mark.parametrize(
    ("driver", "brought", "used"),
    [
        ("570.86.15", "580.65.06", True),
        ("580.126.09", "580.65.06", False),
        ("595.91", "580.65.06", False),
    ],
)
def test_cuda_libraries_of_the_image_are_used_under_an_older_driver(
    tmp_path, driver, brought, used
):
    told = tmp_path / "version"
    told.write_text(
        f"NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {driver}  Release Build\n"
    )
    (tmp_path / "libcuda.so.1").symlink_to(f"libcuda.so.{brought}")
    assert image.cuda_compatibility(told, tmp_path) == (str(tmp_path) if used else None)


def test_no_driver_means_nothing_to_mend(tmp_path):
    assert image.cuda_compatibility(tmp_path / "none", tmp_path) is None
