"""Secrets in a job: read by reference, given to the training program alone, told to nobody."""

import base64
import http.server
import json
import signal
import threading
from pathlib import Path

import jsonschema
import pytest
from test_bootstrap import Attempt, until

from moxi_train.supervisor.redact import Redactor
from moxi_train.supervisor.story import MAX_LINE

TOKEN = "hf_" + "CanaryCanary" * 3
PARAMETER = "/moxi/hf-token/0123456789abcdef0123"
REFERENCES = [{"name": "HF_TOKEN", "parameter": PARAMETER, "region": "eu-west-1"}]
# The development tools' Python has boto3, as the layer of a job in the cloud has.
LAYER = next(
    folder / "bin/python"
    for folder in Path(jsonschema.__file__).parents
    if (folder / "pyvenv.cfg").exists()
)


class Role(http.server.ThreadingHTTPServer):
    """What a container meets: the address of its role's credentials, and Parameter Store."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[dict] = []
        self.answer: tuple[int, dict] = (200, {"Parameter": {"Name": PARAMETER, "Value": TOKEN}})
        self.waits = threading.Event()
        self.waits.set()

    @property
    def environment(self) -> dict[str, str]:
        url = f"http://127.0.0.1:{self.server_port}"
        return {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{url}/credentials",
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "AKIASOMEBODYELSE",
            "AWS_SECRET_ACCESS_KEY": "not-for-the-job",
        }


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        told = {"AccessKeyId": "ASIAROLE", "SecretAccessKey": "s", "Token": "t"}
        self.tell(200, told | {"Expiration": "2999-01-01T00:00:00Z"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        signed = self.headers["Authorization"]
        self.server.asked.append({"target": self.headers["X-Amz-Target"], "by": signed, **body})
        self.server.waits.wait(30)
        self.tell(*self.server.answer)

    def tell(self, status: int, body: dict) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def role():
    server = Role()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.waits.set()
    server.shutdown()
    server.server_close()
    thread.join()


def environ(pid: int | str) -> str:
    return Path(f"/proc/{pid}/environ").read_bytes().decode()


def holding(folder: Path, words: list[str]) -> list[str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [
        path.name for path in files if any(word.encode() in path.read_bytes() for word in words)
    ]


def test_a_value_reaches_the_training_program_and_nobody_else(tmp_path, role):
    attempt = Attempt(
        tmp_path,
        """
        emit("phase", name="training")
        while not os.path.exists("seen"):
            time.sleep(0.01)
        """,
        secrets=REFERENCES,
    )
    process = attempt.start(python=LAYER, **role.environment)
    attempt.wait_for("phase")
    until(lambda: '"name":"training"' in attempt.story.read_text())
    told = json.loads((tmp_path / "output/attempt-1.pid.json").read_text())
    assert told["pid"] == process.pid
    trainer, supervisor = environ(told["trainer"]["pid"]), environ(process.pid)
    commands = [
        Path(f"/proc/{pid}/cmdline").read_text() for pid in (process.pid, told["trainer"]["pid"])
    ]
    (attempt.code / "seen").write_text("")
    assert attempt.finish(process) == 0

    assert f"HF_TOKEN={TOKEN}\0" in trainer
    assert "AWS_" not in trainer + supervisor
    assert TOKEN not in "".join([supervisor, attempt.log, *commands])
    assert holding(tmp_path, [TOKEN, "AKIASOMEBODYELSE", "not-for-the-job"]) == []
    (asked,) = role.asked
    assert asked["target"] == "AmazonSSM.GetParameter"
    assert (asked["Name"], asked["WithDecryption"]) == (PARAMETER, True)
    assert "Credential=ASIAROLE/" in asked["by"]
    assert "/eu-west-1/ssm/" in asked["by"]


def test_whatever_prints_it_is_redacted(tmp_path, role):
    attempt = Attempt(
        tmp_path,
        f"""
        import base64
        token = os.environ["HF_TOKEN"]
        print("authorization: Bearer " + token)
        print("Basic " + base64.b64encode(f"me:{{token}}".encode()).decode())
        print("x" * {MAX_LINE - 20} + token)
        sys.stdout.flush()
        emit("phase", name="data", detail="with " + token)
        emit("alert", level="info", code=token, message=json.dumps({{"token": token}}))
        raise ValueError("401 for " + token)
        """,
        secrets=REFERENCES,
    )
    assert attempt.run(python=LAYER, **role.environment) == 1
    part = TOKEN[:12]
    encoded = base64.b64encode(f"me:{TOKEN}".encode()).decode()[8:24]
    assert part not in attempt.log
    assert encoded not in attempt.log
    assert holding(tmp_path / "checkpoints", [part]) == []
    assert holding(tmp_path / "output", [part]) == []
    assert "authorization: Bearer [HF_TOKEN]" in attempt.log
    assert attempt.events[1]["detail"] == "with [HF_TOKEN]"
    assert attempt.end["error"].startswith("ValueError: 401 for [HF_TOKEN]")


@pytest.mark.parametrize(
    ("code", "message", "said"),
    [
        (
            "AccessDeniedException",
            f"User: arn:aws:sts::1:assumed-role/r/s is not authorized to perform: "
            f"ssm:GetParameter on resource: arn:aws:ssm:eu-west-1:1:parameter{PARAMETER}",
            "lacks the permission ssm:GetParameter on it",
        ),
        (
            "AccessDeniedException",
            "The ciphertext refers to a customer master key that does not exist, does not exist "
            "in this region, or you are not allowed to access.",
            "lacks the permission kms:Decrypt on its key",
        ),
        ("ParameterNotFound", "", "there is no such parameter in eu-west-1"),
    ],
)
def test_a_value_that_cannot_be_read_fails_the_job_before_it_trains(
    tmp_path, role, code, message, said
):
    role.answer = (400, {"__type": code, "message": message})
    attempt = Attempt(tmp_path, "print('trains')", secrets=REFERENCES)
    assert attempt.run(python=LAYER, **role.environment) == 1
    assert attempt.types == ["phase", "end"]
    error = attempt.end["error"]
    assert error.startswith(f"SecretError: HF_TOKEN could not be read from {PARAMETER}: ")
    assert said in error
    assert (tmp_path / "output/failure").read_text() == error
    assert "trains" not in attempt.log


def test_what_the_reader_lacks_is_told(tmp_path, role):
    attempt = Attempt(tmp_path / "a", "", secrets=REFERENCES)
    assert attempt.run(**role.environment) == 1  # a Python without boto3
    assert attempt.end["error"] == "SecretError: No module named 'boto3'"
    attempt = Attempt(tmp_path / "b", "", secrets=REFERENCES)
    assert attempt.run(python=LAYER, AWS_EC2_METADATA_DISABLED="true") == 1
    assert "NoCredentialsError" in attempt.end["error"]


def test_an_answer_that_nobody_understands_is_not_quoted(tmp_path, role):
    role.answer = (200, {"Values": TOKEN})
    attempt = Attempt(tmp_path, "", secrets=REFERENCES)
    assert attempt.run(python=LAYER, **role.environment) == 1
    assert attempt.end["error"].endswith("the secrets could not be read: KeyError")
    assert TOKEN not in attempt.log
    assert holding(tmp_path, [TOKEN]) == []


def test_a_job_that_is_stopped_while_it_reads_ends(tmp_path, role):
    role.waits.clear()
    attempt = Attempt(tmp_path, "print('trains')", secrets=REFERENCES)
    process = attempt.start(python=LAYER, **role.environment)
    until(lambda: role.asked)
    process.send_signal(signal.SIGTERM)
    assert attempt.finish(process) == 143
    assert attempt.end["outcome"] == "stopped"
    assert "trains" not in attempt.log


def test_without_secrets_no_key_stays_in_sight_and_nobody_is_asked(tmp_path, role):
    attempt = Attempt(
        tmp_path,
        """
        for pid in ("self", os.getppid()):
            assert b"AWS_" not in open(f"/proc/{pid}/environ", "rb").read()
        """,
    )
    assert attempt.run(**role.environment) == 0
    assert role.asked == []


def test_redacts_every_form_and_a_value_that_is_cut_off():
    value = 'pass"word/1+2'
    redactor = Redactor({"KEY": value})
    assert redactor.text(f"<{value}>") == "<[KEY]>"
    assert redactor.text(json.dumps({"k": value})) == '{"k": "[KEY]"}'
    assert redactor.text("u=pass%22word%2F1%2B2&") == "u=[KEY]&"
    for before in ("", "a", "ab", "abc"):
        encoded = base64.b64encode(f"{before}{value}:after".encode()).decode()
        assert "[KEY]" in redactor.text(encoded)
    assert redactor.text('ends in pass"wor', is_cut=True) == "ends in "
    assert redactor.text('ends in pass"wor') == 'ends in pass"wor'
    assert redactor.body([{value: 1, "k": [value, None]}]) == [{"[KEY]": 1, "k": ["[KEY]", None]}]


def test_of_two_values_the_longer_is_replaced_first():
    redactor = Redactor({"A": "token-1", "B": "token-1-long"})
    assert redactor.text("token-1-long token-1") == "[B] [A]"
    assert Redactor({"A": "no"}).text("no, not that") == "no, not that"
