"""`python -m moxi_train.shrink`: a small twin trains as the model would; no weight is fetched."""

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from safetensors import safe_open
from support import TRAINER, make_task, names, rows, run
from transformers import (
    DeepseekV3Config,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    LlamaConfig,
    Phi3Config,
    Qwen2Config,
    Qwen3Config,
    Qwen3MoeConfig,
)

from moxi_train import shrink
from moxi_train.finetune import tiny

SHAPE = {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 30}
ROTATION = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "short_factor": [1.0] * 48,
    "long_factor": [1.0] * 48,
    "original_max_position_embeddings": 4096,
}
CONFIGS = [
    LlamaConfig(**SHAPE, num_attention_heads=32, num_key_value_heads=8),
    Qwen2Config(**SHAPE, num_attention_heads=16, num_key_value_heads=2),
    Qwen3Config(**SHAPE, num_attention_heads=16, num_key_value_heads=8, head_dim=128),
    Qwen3MoeConfig(**SHAPE),
    Phi3Config(rope_parameters=ROTATION, original_max_position_embeddings=4096),
    Gemma2Config(),
    Gemma3TextConfig(),
    DeepseekV3Config(),
    GPT2Config(),
]


def model_folder(folder: Path, config: LlamaConfig) -> Path:
    """A model as a user has it, except that its weights would not load: none may be read."""
    tokenizer = tiny._tokenizer(rows(22))
    tokenizer.save_pretrained(folder)
    config.vocab_size = len(tokenizer)
    config.pad_token_id, config.bos_token_id = tokenizer.pad_token_id, None
    config.eos_token_id = tokenizer.eos_token_id
    config.save_pretrained(folder)
    (folder / "model.safetensors").write_bytes(b"terabytes")
    (folder / "generation_config.json").write_text('{"temperature": 0.6, "do_sample": false}')
    return folder


@pytest.fixture
def big(tmp_path):
    shape = {"num_attention_heads": 32, "num_key_value_heads": 8, "num_hidden_layers": 30}
    config = LlamaConfig(hidden_size=2048, intermediate_size=8192, **shape)
    return model_folder(tmp_path / "big", config)


def test_a_twin_has_the_architecture_and_the_tokenizer_and_trains(big, tmp_path, capsys):
    twin = tmp_path / "twin"
    assert shrink.main(["--model", str(big), "--output", str(twin)]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["layers"] == 2
    assert told["parameters"] < 1_000_000
    config = json.loads((twin / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert config["num_attention_heads"] == 4 * config["num_key_value_heads"]
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        assert (twin / name).read_bytes() == (big / name).read_bytes()

    lora = {"method": "lora", "lora_rank": 4, "lora_alpha": 8}
    task = make_task(tmp_path, model="./big", model_path=str(twin), max_steps=2, epochs=9, **lora)
    code, story = run(task)
    assert code == 0
    assert [event["step"] for event in story.of("step")] == [1, 2]
    assert "adapter_model.safetensors" in names(task.artifact)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.model_type)
def test_twins_of_many_architectures_are_small(config, tmp_path):
    config.save_pretrained(tmp_path)
    before = json.loads((tmp_path / "config.json").read_text())
    model = shrink.shrink(tmp_path)
    assert shrink._parameters(model) < 50_000_000
    after = json.loads((tmp_path / "config.json").read_text())
    for same in ("model_type", "vocab_size", "max_position_embeddings", "tie_word_embeddings"):
        assert after.get(same) == before.get(same)
    kinds = before.get("layer_types")
    if kinds:
        assert set(after["layer_types"]) == set(kinds)


def test_an_adapter_gets_a_twin_of_its_shape(big, tmp_path):
    lora = {"method": "lora", "lora_rank": 4, "lora_alpha": 8, "epochs": 1}
    tiny.build(rows(22), tmp_path / "base", seed=1)
    first = make_task(tmp_path / "first", model="./big", model_path=str(tmp_path / "base"), **lora)
    assert run(first)[0] == 0
    adapter = ["--adapter", str(first.artifact), "--adapter-output", str(tmp_path / "adapter")]
    assert shrink.main(["--model", str(big), "--output", str(tmp_path / "twin"), *adapter]) == 0
    with safe_open(tmp_path / "adapter/adapter_model.safetensors", "pt") as file:
        assert {min(file.get_slice(name).get_shape()) for name in list(file.keys())} == {4}

    again = {"adapter_path": str(tmp_path / "adapter"), "max_steps": 2}
    task = make_task(tmp_path, model="./big", model_path=str(tmp_path / "twin"), **lora, **again)
    code, story = run(task)
    assert code == 0
    assert story.decision("adapter")["value"] == "continued"


def test_what_cannot_be_shrunk_is_said(tmp_path, capsys):
    folder = tmp_path / "strange"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "t5", "architectures": ["T5Model"]}')
    assert shrink.main(["--model", str(folder), "--output", str(tmp_path / "twin")]) == 1
    error = json.loads(capsys.readouterr().out.splitlines()[-1])["error"]
    assert error["message"].startswith("no small twin of T5Model can be made: ")
    assert "moxi:tiny" in error["hint"]


def test_a_rehearsal_ends_where_a_short_run_would(tmp_path):
    code, story = run(make_task(tmp_path, train=rows(3), max_steps=2, epochs=1))
    assert code == 0
    assert [event["step"] for event in story.of("step")] == [1]


def test_a_rehearsal_scores_few_held_out_rows(tmp_path):
    code, story = run(make_task(tmp_path, held_out=rows(40), max_steps=2))
    assert code == 0
    assert {event["rows"] for event in story.of("eval")} == {8}


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of the hub as it takes to fetch a model's files."""

    folder: Path
    asked: list[str]

    def do_GET(self):
        commit = "c" * 40
        if self.path.startswith("/api/models/"):
            files = [
                {"type": "file", "path": path.name, "size": path.stat().st_size, "oid": "0" * 40}
                for path in self.folder.iterdir()
            ]
            siblings = [{"rfilename": each["path"]} for each in files]
            about = {"id": "org/big", "sha": commit, "siblings": siblings, "private": False}
            return self.answer(json.dumps(files if "/tree/" in self.path else about).encode(), {})
        name = self.path.rpartition("/")[2]
        data = (self.folder / name).read_bytes()
        if self.command == "GET":
            self.asked.append(name)
        etag = hashlib.sha256(data).hexdigest()
        return self.answer(data, {"ETag": f'"{etag}"', "X-Repo-Commit": commit})

    do_HEAD = do_GET

    def answer(self, data, headers):
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def log_message(self, *_):
        pass


def test_of_a_model_on_the_hub_no_weight_is_fetched(big, tmp_path):
    Hub.folder, Hub.asked = big, []
    hub = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=hub.serve_forever, daemon=True).start()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {"HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}", "HF_HOME": str(tmp_path)}
    twin = tmp_path / "twin"
    command = [sys.executable, "-m", "moxi_train.shrink", "--model", "org/big", "--revision"]
    child = subprocess.run(
        [*command, "c" * 40, "--output", str(twin)],
        cwd=TRAINER,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    hub.shutdown()
    hub.server_close()
    assert child.returncode == 0, child.stdout + child.stderr
    assert "model.safetensors" not in Hub.asked
    assert {"config.json", "tokenizer.json"} <= set(Hub.asked)
    assert (twin / "model.safetensors").stat().st_size < 10_000_000
