"""How many sequences go through the device at once, and what it costs: rules with reasons."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .config import Settings
from .errors import TrainingError
from .events import Story
from .model import Machine

CPU_TOKENS = 256  # in a forward pass, about: more gains nothing there, and pads more
MPS_TOKENS = 4096  # in a forward pass, at most
LOGITS = 2**30  # bytes that the logits of a forward pass may take off the GPU, with their gradient
GPU_TOKENS = (16384, 8192, 4096, 2048, 1024, 512)  # tried from the left


@dataclass(frozen=True)
class Batches:
    micro: int  # sequences (or packs) per forward pass on one device
    accumulation: int  # forward passes per optimizer step
    pack: int | None  # tokens of a pack; None: padded batches
    checkpointing: bool  # of activations
    evaluation: int  # sequences per forward pass when held-out rows are scored, never packed


def choose_batches(
    settings: Settings,
    machine: Machine,
    lengths: Sequence[int],
    limit: int,
    model: Any,
    story: Story,
) -> Batches:
    """`lengths` are the tokens of every training sequence, none above `limit`."""
    share = _share(settings, machine)
    mean = sum(lengths) / len(lengths)
    if machine.kind != "cuda":
        checkpointing = settings.gradient_checkpointing or False
        _say_checkpointing(settings, checkpointing, "memory is not the limit here", story)
        most = LOGITS // (12 * model.config.get_text_config().vocab_size) // limit
        wanted = CPU_TOKENS // mean if machine.kind == "cpu" else MPS_TOKENS // limit
        why = "packing halves the speed here; few sequences at a time need little padding"
        return _padded(settings, share, int(min(wanted, most)), checkpointing, why, story)

    tokens, checkpointing = _fitting(settings, machine, limit, model, story)
    why = "activations do not fit without it" if checkpointing else "activations fit without it"
    _say_checkpointing(settings, checkpointing, why, story)
    step = math.ceil(share * mean)
    if step < limit:
        why = f"one pack of {limit} tokens would hold more than the {share} sequences of a step"
        return _padded(settings, share, tokens // limit, checkpointing, why, story)
    pack = max(limit, min(tokens, step))
    accumulation = max(1, round(step / pack))
    reason = f"about {pack / mean:.1f} whole sequences a pack of {pack} tokens; none sees another"
    story.decide("packing", True, reason)
    story.decide("micro-batch", 1, "packs per forward pass")
    _say_accumulation(settings, accumulation, story)
    return Batches(1, accumulation, pack, checkpointing, pack // limit)


def _padded(
    settings: Settings,
    share: int,
    wanted: int,
    checkpointing: bool,
    why: str,
    story: Story,
) -> Batches:
    """Batches of single sequences: `share` of them per step, about `wanted` at once."""
    story.decide("packing", False, why)
    most = settings.micro_batch or max(1, wanted)
    micro = max(size for size in range(1, share + 1) if share % size == 0 and size <= most)
    if settings.micro_batch is None:
        reason = f"divides {share}; more sequences at once would gain nothing, or not fit"
    elif micro != settings.micro_batch:
        reason = f"the largest divisor of {share} within the {settings.micro_batch} asked for"
    else:
        reason = "as asked"
    story.decide("micro-batch", micro, reason)
    _say_accumulation(settings, share // micro, story)
    return Batches(micro, share // micro, None, checkpointing, micro)


def _fitting(
    settings: Settings, machine: Machine, limit: int, model: Any, story: Story
) -> tuple[int, bool]:
    """Tokens of a forward pass that fit in the GPU, and whether they need checkpointing for it.

    Checkpointing computes every layer twice, which costs LoRA half as much again: only where memory
    asks for it.
    """
    budget = 0.9 * machine.memory
    asked = settings.gradient_checkpointing
    candidates = [tokens for tokens in GPU_TOKENS if tokens >= limit] or [limit]
    if settings.micro_batch is not None:
        candidates = [settings.micro_batch * limit]
    for checkpointing in (False, True) if asked is None else (asked,):
        for tokens in candidates:
            if memory_bytes(settings, model, tokens, checkpointing) <= budget:
                return tokens, checkpointing
    needed = memory_bytes(settings, model, limit, asked is not False) / 2**30
    story.alert(
        "warning",
        "memory-tight",
        f"training may need {needed:.0f} GiB and the GPU has {machine.memory / 2**30:.0f}",
        "If it runs out of memory: a shorter maxSeqLength, a smaller model, or a bigger GPU.",
    )
    return limit, asked is not False


def memory_bytes(settings: Settings, model: Any, tokens: int, checkpointing: bool) -> float:
    """Bytes that training needs with `tokens` in a forward pass.

    Weights, gradients and optimizer state, plus activations saved per token and layer: coefficients
    fitted to saved-tensor counts of Llama shapes under bf16 autocast; they met published peaks
    within 11 %, mostly from below, hence the margin of the caller.
    """
    config = model.config.get_text_config()
    hidden, inner = config.hidden_size, config.intermediate_size
    heads = config.num_attention_heads
    head = getattr(config, "head_dim", None) or hidden // heads
    query, key = heads * head, (getattr(config, "num_key_value_heads", None) or heads) * head
    parameters = list(model.parameters())
    count = sum(parameter.numel() for parameter in parameters)
    layer = 4 * key + 8 * inner
    if settings.method != "full":
        rank = settings.lora_rank or 16
        per_layer = rank * (2 * (hidden + query) + 2 * (hidden + key) + 3 * (hidden + inner))
        weights = 2.0 * count
        if settings.method == "qlora":  # loaded in 4 bits already; 4 % for the scales
            weights = 1.04 * sum(each.numel() * each.element_size() for each in parameters)
        state = weights + 16 * config.num_hidden_layers * per_layer
        layer += 24 * hidden + 14 * rank
    else:
        state = 16 * count
        layer += 20 * hidden
    if checkpointing:
        activations = config.num_hidden_layers * 2 * hidden + layer
    else:
        activations = config.num_hidden_layers * layer
    head_tiles = 3 * 4 * min(tokens, 4096) * min(config.vocab_size, 32768)
    return 1.05 * (state + tokens * activations + head_tiles) + 2**30


def _share(settings: Settings, machine: Machine) -> int:
    if settings.effective_batch % machine.processes:
        raise TrainingError(
            "batch-indivisible",
            f"{machine.processes} devices cannot share a batch of {settings.effective_batch}",
            f"Make effectiveBatch a multiple of {machine.processes}.",
        )
    return settings.effective_batch // machine.processes


def _say_accumulation(settings: Settings, accumulation: int, story: Story) -> None:
    story.decide(
        "accumulation",
        accumulation,
        f"for an effective batch of {settings.effective_batch} sequences",
    )


def _say_checkpointing(settings: Settings, value: bool, why: str, story: Story) -> None:
    story.decide(
        "checkpointing", value, why if settings.gradient_checkpointing is None else "as asked"
    )
