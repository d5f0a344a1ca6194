"""Adapters: fp32 on any base, going on from another run's, and what does not fit."""

import json
import shutil

import pytest
import torch
from peft.helpers import disable_input_dtype_casting
from safetensors.torch import load_file, save_file
from support import Recorder, make_task, rows, run
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from moxi_train.finetune import adapter as adapters
from moxi_train.finetune import main as program
from moxi_train.finetune import model as models
from moxi_train.finetune import tiny
from moxi_train.finetune.batches import memory_bytes
from moxi_train.finetune.config import Settings, read_task
from moxi_train.finetune.errors import TrainingError
from moxi_train.finetune.events import Story
from moxi_train.finetune.model import Machine


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A base model, and the adapter that a short run on it left."""
    root = tmp_path_factory.mktemp("first")
    tiny.build(rows(22), root / "base", seed=1)
    task = make_task(root / "run", epochs=1, **on(root / "base"))
    assert run(task)[0] == 0
    return root / "base", task.artifact


def on(base, **other):
    shape = {"method": "lora", "lora_rank": 4, "lora_alpha": 8, "lora_dropout": 0.0}
    return {"model": str(base), "model_path": str(base)} | shape | other


def failure(task):
    with pytest.raises(TrainingError) as raised:
        run(task)
    return raised.value


def test_a_run_goes_on_from_the_adapter_of_another(first, tmp_path):
    base, adapter = first
    task = make_task(tmp_path, epochs=1, **on(base, adapter_path=str(adapter), learning_rate=1e-9))
    code, told = run(task)
    assert code == 0
    assert told.decision("adapter")["value"] == "continued"
    before, after = (
        load_file(folder / "adapter_model.safetensors") for folder in (adapter, task.artifact)
    )
    # It starts where the other ended: at a rate of nothing it stays there, and its first
    # held-out loss is the other's last.
    assert before.keys() == after.keys()
    assert all(torch.allclose(before[name], after[name], atol=1e-7) for name in before)
    assert any(tensor.abs().max() > 0 for name, tensor in before.items() if "lora_B" in name)
    record = json.loads((adapter / "moxi.run.json").read_text())
    start = told.of("eval")[0]["loss"]
    assert start == pytest.approx(record["heldOutLoss"]["last"], abs=1e-6)
    assert start < record["heldOutLoss"]["first"] - 1e-4


def test_all_of_it_is_trained_on(first, tmp_path):
    base, adapter = first
    task = make_task(tmp_path, epochs=1, **on(base, adapter_path=str(adapter)))
    assert run(task)[0] == 0
    before, after = (
        load_file(folder / "adapter_model.safetensors") for folder in (adapter, task.artifact)
    )
    assert all((before[name] != after[name]).any() for name in before)
    assert {tensor.dtype for tensor in after.values()} == {torch.float32}


def test_alone_the_shape_is_the_adapters(first, tmp_path):
    base, adapter = first
    flags = ["--dataset", "d", "--model", str(base), "--from", str(adapter)]
    settings = read_task(flags).settings
    assert (settings.method, settings.lora_rank, settings.lora_alpha) == ("lora", 4, 8)
    assert settings.adapter_path == str(adapter)
    with pytest.raises(TrainingError, match="holds no adapter to go on from"):
        read_task([*flags[:-1], str(tmp_path)])


def test_another_base_is_refused(first, tmp_path):
    base, adapter = first
    other = tmp_path / "other"
    shutil.copytree(base, other)
    error = failure(make_task(tmp_path, **on(other, adapter_path=str(adapter))))
    assert error.code == "adapter-foreign"
    assert f"was trained on {base}, and the base model is {other}" in error.message


def test_another_shape_is_refused(first, tmp_path):
    base, adapter = first
    error = failure(make_task(tmp_path, **on(base, adapter_path=str(adapter), lora_rank=8)))
    assert "rank 4 and alpha 8, and the settings say 8 and 8" in error.message


def test_an_adapter_of_other_layers_is_refused(first, tmp_path):
    base, adapter = first
    # As if the base had grown: the same name, one layer more.
    deeper = tmp_path / "adapter"
    shutil.copytree(adapter, deeper)
    weights = load_file(deeper / "adapter_model.safetensors")
    more = {name.replace("layers.0.", "layers.1."): weights[name].clone() for name in weights}
    save_file(weights | more, deeper / "adapter_model.safetensors")
    error = failure(make_task(tmp_path, **on(base, adapter_path=str(deeper))))
    assert "has other layers than" in error.message


@pytest.mark.parametrize("broken", ["adapter_config.json", "adapter_model.safetensors"])
def test_what_is_no_adapter_is_told(first, tmp_path, broken):
    base, adapter = first
    torn = tmp_path / "adapter"
    shutil.copytree(adapter, torn)
    (torn / broken).write_bytes((torn / broken).read_bytes()[:40])
    error = failure(make_task(tmp_path, **on(base, adapter_path=str(torn))))
    assert error.code in ("adapter-unreadable", "adapter-foreign")


def test_an_adapter_on_a_bf16_base_is_fp32_and_its_inputs_need_no_cast(first):
    """The same gradients to the bit, with and without PEFT's casts, under bf16 autocast."""
    base, _ = first
    settings = Settings("m", "lora", 1, 1, 1, 1, 1, lora_rank=4, lora_alpha=8)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
    model = adapters.add_adapter(model, settings, Story(Recorder()))
    for name, parameter in model.named_parameters():
        assert parameter.dtype == (torch.float32 if "lora" in name else torch.bfloat16)
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    ids = torch.arange(24).view(2, 12)
    gradients = []
    for active in (False, True):
        model.zero_grad()
        with (
            torch.autocast("cpu", dtype=torch.bfloat16),
            disable_input_dtype_casting(model, active=active),
        ):
            model(input_ids=ids, labels=ids).loss.backward()
        gradients.append([each.grad.clone() for each in model.parameters() if each.requires_grad])
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))
    assert any(gradient.abs().max() > 0 for gradient in gradients[0])
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.bfloat16()  # as TRL does for quantised models
    adapters.keep_precise(model)
    trained = {each.dtype for each in model.parameters() if each.requires_grad}
    assert trained == {torch.float32}


def test_an_adapter_goes_on_in_fp32_on_a_bf16_base(first):
    base, adapter = first
    shape = {"lora_rank": 4, "lora_alpha": 8, "adapter_path": str(adapter)}
    settings = Settings(str(base), "lora", 1, 1, 1, 1, 1, **shape)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
    model = adapters.add_adapter(model, settings, Story(Recorder()))
    trained = {each.dtype for each in model.parameters() if each.requires_grad}
    assert trained == {torch.float32}


def test_an_adapter_that_was_made_bf16_is_trained_in_fp32(first, tmp_path, monkeypatch):
    """TRL makes the adapters of quantised models bf16, which need a GPU: one is made here."""
    base, _ = first
    add = adapters.add_adapter

    def add_bf16(*given):
        model = add(*given)
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.bfloat16()
        return model

    monkeypatch.setattr(adapters, "add_adapter", add_bf16)
    task = make_task(tmp_path, epochs=1, **on(base))
    assert run(task)[0] == 0
    saved = load_file(task.artifact / "adapter_model.safetensors")
    assert {tensor.dtype for tensor in saved.values()} == {torch.float32}


def test_qlora_without_a_gpu_is_refused_before_anything_is_loaded(tmp_path, monkeypatch):
    loaded = []
    monkeypatch.setattr(models, "load_tokenizer", lambda *_: loaded.append("tokenizer"))
    monkeypatch.setattr(models, "find_machine", lambda story: Machine("cpu", 1, 0))
    error = failure(make_task(tmp_path, model="org/name", method="qlora", lora_rank=4))
    assert error.code == "qlora-needs-cuda"
    assert loaded == []


def test_qlora_without_its_package_is_refused(monkeypatch):
    settings = Settings("m", "qlora", 1, 1, 1, 1, 1)
    machine = Machine("cuda", 1, 2**34)
    monkeypatch.setattr(models, "find_spec", lambda name: None)
    with pytest.raises(TrainingError, match="needs the package bitsandbytes") as raised:
        models.refuse_method(settings, machine)
    assert "uv pip install --python" in raised.value.hint
    monkeypatch.setattr(models, "find_spec", lambda name: name)
    models.refuse_method(settings, machine)


def test_a_job_with_a_missing_adapter_ends_with_a_sentence(first, tmp_path, capsys):
    base, _ = first
    flags = ["--dataset", str(tmp_path / "rows.jsonl"), "--model", str(base)]
    assert program.main([*flags, "--from", str(tmp_path / "none")]) == 1
    assert "holds no adapter to go on from" in capsys.readouterr().err


@pytest.mark.parametrize(("tokens", "gigabytes"), [(1024, 4.6), (4096, 5.6), (8192, 6.8)])
def test_four_bits_of_the_3b_are_near_what_was_published(tokens, gigabytes):
    """Within a quarter of facts computed without PEFT's casts, and never below them."""
    config = LlamaConfig(
        vocab_size=128256,
        hidden_size=3072,
        intermediate_size=8192,
        num_hidden_layers=28,
        num_attention_heads=24,
        num_key_value_heads=8,
        head_dim=128,
        tie_word_embeddings=True,
    )
    with torch.device("meta"):
        model = LlamaForCausalLM(config).to(torch.bfloat16)
        for layer in model.model.layers:
            for module in layer.modules():
                if isinstance(
                    module, torch.nn.Linear
                ):  # two weights a byte, as bitsandbytes has it
                    packed = torch.empty(module.weight.numel() // 2, dtype=torch.uint8)
                    module.weight = torch.nn.Parameter(packed, requires_grad=False)
    settings = Settings("m", "qlora", 1, 16, 1, 1, 1, lora_rank=16)
    needed = memory_bytes(settings, model, tokens, True) / 1e9
    assert gigabytes <= needed < 1.25 * gigabytes
