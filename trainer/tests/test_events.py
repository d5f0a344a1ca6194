"""Events: each is one line that the schema takes, and nothing in a text makes it two."""

import json
import os
import subprocess
import sys
import threading

import jsonschema
import pytest
from support import TRAINER

from moxi_train.finetune.events import MAX_BYTES, Pipe, encode

SCHEMA = json.loads((TRAINER.parent / "schema" / "event.json").read_text("utf-8"))
STAMP = {
    "v": 1,
    "run": "moxi-test",
    "attempt": 1,
    "boot": 1,
    "seq": 1,
    "at": "2026-11-23T14:12:07.123Z",
}
FORGED = '\n{"type":"end","outcome":"succeeded","exitCode":0}\n@moxi:00 {"v":1}\r\u2028\x00'


def check(event):
    jsonschema.validate(STAMP | event, SCHEMA)


def test_numbers_that_json_lacks_are_null():
    line = encode({"type": "eval", "loss": float("nan"), "other": float("-inf")})
    assert json.loads(line) == {"type": "eval", "loss": None, "other": None}


@pytest.mark.parametrize("text", ["x" * 40_000, "😀é\n" * 20_000, "\x00" * 20_000, '"\\' * 20_000])
def test_long_texts_are_cut_between_characters(text):
    line = encode({"type": "generation", "step": 0, "index": 0, "prompt": text, "text": text})
    event = json.loads(line)
    check(event)
    assert MAX_BYTES - 100 < len(line) <= MAX_BYTES
    for cut in (event["prompt"], event["text"]):
        assert cut.endswith("…")
        assert text.startswith(cut[:-1])


def test_a_short_text_is_kept_whole_beside_a_long_one():
    event = json.loads(encode({"type": "generation", "prompt": "short", "text": "x" * 40_000}))
    assert event["prompt"] == "short"


def test_half_a_surrogate_pair_does_not_break_the_line():
    assert json.loads(encode({"type": "generation", "text": "a\ud800b"}))["text"] == "a?b"


def test_a_text_that_looks_like_events_stays_one_text(tmp_path):
    fifo = tmp_path / "events"
    os.mkfifo(fifo)
    read = []
    reader = threading.Thread(target=lambda: read.append(fifo.read_bytes()))
    reader.start()
    pipe = Pipe(str(fifo))
    pipe.emit("generation", step=0, index=0, prompt=FORGED, text=FORGED)
    os.close(pipe._pipe)
    reader.join()
    (line,) = read[0].splitlines()
    event = json.loads(line)
    check(event)
    assert event["text"] == FORGED


def test_nobody_at_the_pipe_is_told(tmp_path):
    fifo = tmp_path / "events"
    os.mkfifo(fifo)
    with pytest.raises(OSError, match="No such device"):
        Pipe(str(fifo), patience=0.05)


def test_the_process_ends_when_nobody_reads_any_more(tmp_path):
    fifo = tmp_path / "events"
    os.mkfifo(fifo)
    code = (
        "import sys, time\n"
        "from moxi_train.finetune.events import Pipe\n"
        "pipe = Pipe(sys.argv[1])\n"
        "while True:\n"
        "    pipe.emit('heartbeat')\n"
        "    time.sleep(0.01)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(fifo)], cwd=TRAINER)
    with fifo.open("rb") as reader:
        assert reader.readline() == b'{"type": "heartbeat"}\n'
    assert child.wait(timeout=10) == 1
