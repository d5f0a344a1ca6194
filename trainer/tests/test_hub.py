"""What a model hub answers is told as what to do, against a hub on this machine."""

import http.server
import json
import os
import subprocess
import sys
import threading

from support import TRAINER

ANSWERS = {  # by a part of the model's name: HTTP status and the hub's own error code
    "gated": (403, "GatedRepo"),
    "private": (401, "RepoNotFound"),
    "revision": (404, "RevisionNotFound"),
    "missing": (404, "RepoNotFound"),
}
LOAD = """
import json, sys
from moxi_train.finetune import main
from moxi_train.finetune.config import Settings
from moxi_train.finetune.errors import TrainingError
from moxi_train.finetune.events import Silent, Story
from moxi_train.finetune.model import load_tokenizer
for model in sys.argv[1:]:
    settings = Settings(model, "lora", 1, 1, 1, 1, 1, revision="v1")
    try:
        load_tokenizer(settings, model, Story(Silent()))
    except TrainingError as error:
        print(json.dumps([error.code, str(error)]))
"""


class Hub(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status, code = next(ANSWERS[name] for name in ANSWERS if name in self.path)
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


def test_each_refusal_of_the_hub_has_its_remedy(tmp_path):
    hub = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=hub.serve_forever, daemon=True).start()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {
        "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}",
        "HF_HOME": str(tmp_path),
    }
    models = [*(f"someone/{name}" for name in ANSWERS), "no name"]
    child = subprocess.run(
        [sys.executable, "-c", LOAD, *models],
        cwd=TRAINER,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    hub.shutdown()
    hub.server_close()
    assert child.returncode == 0, child.stderr
    told = dict(zip(models, map(json.loads, child.stdout.splitlines()), strict=True))
    codes = {model: code for model, (code, _) in told.items()}
    assert codes == {
        "someone/gated": "model-gated",
        "someone/private": "model-unknown",
        "someone/revision": "model-unknown",
        "someone/missing": "model-unknown",
        "no name": "model-unknown",
    }
    assert "Accept its terms at https://huggingface.co/someone/gated" in told["someone/gated"][1]
    assert "has no revision v1" in told["someone/revision"][1]
    assert "set HF_TOKEN for a private one" in told["someone/private"][1]
