"""How sequences are batched: the rules for each machine, and that packing changes no number."""

from statistics import fmean, stdev

import pytest
import torch
from support import Recorder, rows
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from moxi_train.finetune import tiny
from moxi_train.finetune.batches import Batches, choose_batches, memory_bytes
from moxi_train.finetune.callbacks import Stop
from moxi_train.finetune.config import Settings
from moxi_train.finetune.data import Renderer
from moxi_train.finetune.errors import TrainingError
from moxi_train.finetune.events import Story
from moxi_train.finetune.model import Machine
from moxi_train.finetune.order import StepSampler
from moxi_train.finetune.train import Trainer

GIB = 2**30
CPU = Machine("cpu", 1, 0)


def settings(**other):
    defaults = {"model": "m", "method": "lora", "epochs": 1, "effective_batch": 16}
    defaults |= {"learning_rate": 1e-3, "generation_tokens": 4, "seed": 7, "lora_rank": 16}
    return Settings(**defaults | other)


def gpu(gibibytes, processes=1):
    return Machine("cuda", processes, gibibytes * GIB)


@pytest.fixture(scope="module")
def llama():
    """Llama 3.2 3B's shape, without its weights."""
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
        return LlamaForCausalLM(config)


def choose(model, machine, lengths, limit, **other):
    recorder = Recorder()
    batches = choose_batches(settings(**other), machine, lengths, limit, model, Story(recorder))
    return batches, recorder


def test_off_the_gpu_a_step_is_cut_into_what_a_cpu_does_well_and_the_logits_allow(llama):
    batches, _ = choose(llama, CPU, [300] * 100, 320)
    assert batches == Batches(1, 16, None, False, 1)
    batches, _ = choose(llama, CPU, [60] * 100, 64)
    assert batches == Batches(4, 4, None, False, 4)  # about 256 tokens
    batches, _ = choose(llama, CPU, [60] * 99 + [320], 320)
    assert batches == Batches(2, 8, None, False, 2)  # 1 GiB of logits: 697 tokens
    batches, _ = choose(llama, Machine("mps", 1, 0), [300] * 100, 320)
    assert batches == Batches(2, 8, None, False, 2)
    batches, told = choose(llama, CPU, [300] * 100, 320, micro_batch=5)
    assert batches == Batches(4, 4, None, False, 4)
    assert (
        told.decision("micro-batch")["reason"] == "the largest divisor of 16 within the 5 asked for"
    )


def test_a_small_gpu_trains_the_3b_with_lora_without_checkpointing(llama):
    batches, _ = choose(llama, gpu(24), [300] * 1000, 1024)
    assert batches == Batches(1, 2, 2048, False, 2)  # 16 sequences of 300 tokens a step


def test_checkpointing_comes_when_memory_asks_for_it(llama):
    assert not choose(llama, gpu(24), [1500] * 99, 2048)[0].checkpointing
    assert choose(llama, gpu(24), [1500] * 99, 4096)[0].checkpointing
    assert not choose(llama, gpu(80), [1500] * 99, 4096)[0].checkpointing
    assert choose(llama, gpu(80), [300] * 99, 512, gradient_checkpointing=True)[0].checkpointing


def test_a_pack_never_holds_more_than_a_step(llama):
    batches, told = choose(llama, gpu(80), [100] * 999 + [4000], 4096)
    assert batches.pack is None
    assert batches.micro * batches.accumulation == 16
    assert "more than the 16 sequences of a step" in told.decision("packing")["reason"]
    batches, _ = choose(llama, gpu(80), [300] * 1000, 512)
    assert batches == Batches(1, 1, 4800, False, 9)


def test_devices_share_a_step(llama):
    batches, _ = choose(llama, gpu(80, processes=4), [300] * 1000, 512)
    assert batches == Batches(1, 1, 1200, False, 2)
    with pytest.raises(TrainingError, match="3 devices cannot share a batch of 16"):
        choose(llama, gpu(80, processes=3), [300] * 1000, 512)


def test_what_may_not_fit_is_told(llama):
    batches, told = choose(llama, gpu(24), [300] * 99, 512, method="full")
    assert [alert["code"] for alert in told.of("alert")] == ["memory-tight"]
    assert batches.checkpointing


@pytest.mark.parametrize(
    ("tokens", "checkpointing", "gigabytes"),
    [(4096, True, 10.0), (4096, False, 23.0), (8192, False, 37.3), (8192, True, 11.2)],
)
def test_memory_is_near_what_was_published_for_the_3b(llama, tokens, checkpointing, gigabytes):
    """Within a fifth of facts computed without PEFT's casts, and never below them."""
    needed = memory_bytes(settings(), llama, tokens, checkpointing) / 1e9
    assert gigabytes <= needed < 1.25 * gigabytes


def test_each_epoch_has_every_row_once_in_another_order():
    lengths = [17 * index % 101 for index in range(50)]
    epoch = [0]
    sampler = StepSampler(lengths, 8, seed=3, epoch=lambda: epoch[0])
    first, again = list(sampler), list(sampler)
    epoch[0] = 1
    second = list(sampler)
    assert first == again != second
    assert sorted(first) == sorted(second) == list(range(50))
    for at in range(0, 50, 8):
        step = [lengths[row] for row in first[at : at + 8]]
        assert step == sorted(step)


def test_the_rows_of_a_step_are_there_by_chance_whatever_their_lengths():
    """Steps of similar lengths would let short rows weigh more, and cost held-out loss."""
    lengths = [17 * index % 101 for index in range(800)]
    for epoch in range(5):
        sampler = StepSampler(lengths, 8, seed=3, epoch=lambda epoch=epoch: epoch)
        order = list(sampler)
        means = [fmean(lengths[row] for row in order[at : at + 8]) for at in range(0, 800, 8)]
        # Of means of 8 drawn by chance; those of alike rows would spread as single rows do.
        assert stdev(means) == pytest.approx(stdev(lengths) / 8**0.5, rel=0.3)


def first_step(tmp_path, batches):
    """The first step's event of a fresh toy, all rows in one step."""
    tiny.build(rows(16), tmp_path / "base", seed=1)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "base")
    renderer = Renderer(tokenizer, frozenset([tokenizer.eos_token_id]))
    samples = [sample for row in rows(16) for sample in renderer.render(row)]
    recorder = Recorder()
    trainer = Trainer(
        model=model,
        tokenizer=tokenizer,
        settings=settings(method="full"),
        machine=CPU,
        batches=batches,
        train=samples,
        held_out=[],
        checkpoints=tmp_path / "checkpoints",
        story=Story(recorder),
        stop=Stop(),
        begin=lambda trainer: None,
        sample=lambda step: None,
    )
    packs = len(trainer.train_dataset)
    trainer.start(None)
    (step,) = recorder.of("step")
    return step, packs


def test_packed_padded_and_alone_give_the_same_loss_gradient_and_tokens(tmp_path):
    alone, _ = first_step(tmp_path / "alone", Batches(1, 16, None, False, 1))
    padded, _ = first_step(tmp_path / "padded", Batches(16, 1, None, False, 1))
    packed, packs = first_step(tmp_path / "packed", Batches(1, 16, 200, False, 1))
    assert 1 < packs < 16
    for other in (padded, packed):
        assert other["loss"] == pytest.approx(alone["loss"], abs=1e-6)
        assert other["gradNorm"] == pytest.approx(alone["gradNorm"], abs=1e-5)
        assert other["tokens"] == alone["tokens"]
