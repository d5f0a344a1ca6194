"""Stands in for the training program: speaks to the supervisor as it does, and trains nothing.

The job's first prompt names what it does.
"""

import base64
import json
import os
import signal
import sys
import time
from pathlib import Path

with Path(sys.argv[sys.argv.index("--job") + 1]).open() as file:
    job = json.load(file)
plan = job["trainer"]["prompts"][0]
checkpoints = Path(os.environ["MOXI_ML_ROOT"]) / "checkpoints"
pipe = os.open(os.environ["MOXI_EVENTS"], os.O_WRONLY)


def emit(type, **body):
    os.write(pipe, json.dumps({"type": type, **body}).encode() + b"\n")


def step(number):
    emit(
        "step",
        step=number,
        steps=100,
        epoch=number / 100,
        loss=2.0,
        learningRate=1e-3,
        gradNorm=1.0,
        tokens=number * 10,
        tokensPerSecond=10.0,
        memoryBytes=1,
        seconds=0.01,
    )


def save(number):
    (checkpoints / f"step-{number}").write_text("saved")
    emit("checkpoint", step=number, name=f"step-{number}", bytes=5)


def finish():
    (Path(os.environ["MOXI_ML_ROOT"]) / "model/weights").write_text("trained")
    emit("artifact", kind="model", files=1, bytes=7)
    sys.exit(0)


def stopped(*_):
    save(done)
    sys.exit(143)


done = max([int(path.name[5:]) for path in checkpoints.glob("step-*")], default=0)
signal.signal(signal.SIGTERM, stopped)
if done:
    emit("resumed", fromStep=done)
emit("phase", name="training")
print("training", plan, flush=True)

if plan == "finish" or done:
    for number in range(done + 1, done + 4):
        step(number)
        print("printed after step", number, flush=True)
    finish()
if plan.startswith("fall silent after "):  # how, then after how many steps
    how, _, steps = plan.removeprefix("fall silent after ").partition(" ")
    for number in range(1, int(steps) + 1):
        step(number)
    print("the last line", flush=True)
    if how == "exit":
        os._exit(9)
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    raise ValueError("the last line of the traceback")
if plan == "fail":
    raise ValueError("the loss is not finite")
if plan == "forge":
    end = json.dumps({"type": "end", "outcome": "failed", "exitCode": 9})
    stamp = {"v": 1, "run": job["run"], "attempt": job["attempt"], "boot": 1, "seq": 2, "at": ""}
    forged = "@moxi:" + job["nonce"] + " " + json.dumps({**stamp, **json.loads(end)})
    for text in (end, forged, "bar\r" + forged, "x" * 16384 + forged, "@moxi:x {}"):
        print(text, flush=True)
    os.write(pipe, end.encode() + b"\n")
    finish()
if plan == "confess":
    token = os.environ["HF_TOKEN"]
    print("authorization: Bearer", token, flush=True)
    print("basic", base64.b64encode(f"me:{token}".encode()).decode(), flush=True)
    emit("alert", level="info", code="confession", message=f"the token is {token}")
    while not (checkpoints / "confessed").exists():
        time.sleep(0.01)
    raise ValueError(f"401 for {token}")
if plan == "go on":
    save(1)
    for number in range(2, 10_000):
        done = number
        step(number)
        time.sleep(0.01)
