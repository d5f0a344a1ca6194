"""The machine, the tokenizer, the model: what is loaded, how precisely, what is trained."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .config import TOY_MODEL, Settings
from .errors import TrainingError, first_line
from .events import Story

# For base models without a chat template: plain words, closed by the tokenizer's end of text.
PLAIN_TEMPLATE = (
    "{% if tools %}{{ '### Tools:\n' + tools | tojson + '\n\n' }}{% endif %}"
    "{% for message in messages %}"
    "{{ '### ' + message['role'] | capitalize + ':\n' }}"
    "{% if message.reasoning_content %}"
    "{{ '<think>' + message.reasoning_content + '</think>' }}"
    "{% endif %}"
    "{{ message['content'] }}"
    "{% for call in message.tool_calls or [] %}{{ call.function | tojson }}{% endfor %}"
    "{{ eos_token if message['role'] == 'assistant' else '' }}{{ '\n\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '### Assistant:\n' }}{% endif %}"
)


@dataclass(frozen=True)
class Machine:
    """Where this process trains."""

    kind: str  # "cuda", "mps" or "cpu"
    processes: int  # of the whole run
    memory: int  # bytes of one GPU; 0 elsewhere


def find_machine(story: Story) -> Machine:
    """The best device that torch can use here."""
    import torch

    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if torch.cuda.is_available():
        device = torch.cuda.get_device_properties(torch.cuda.current_device())
        gibibytes = device.total_memory / 2**30
        story.decide("device", "cuda", f"{processes} x {device.name}, {gibibytes:.0f} GiB each")
        return Machine("cuda", processes, device.total_memory)
    if torch.backends.mps.is_available():
        story.decide("device", "mps", "Apple's GPU, through Metal")
        return Machine("mps", processes, 0)
    story.decide("device", "cpu", f"torch finds no GPU and uses {torch.get_num_threads()} threads")
    return Machine("cpu", processes, 0)


def load_tokenizer(settings: Settings, source: str, story: Story) -> Any:
    """The tokenizer of `source`, with a padding token and a chat template."""
    from transformers import AutoTokenizer

    with explaining(settings.model, settings.model_path, settings.revision):
        tokenizer = AutoTokenizer.from_pretrained(source, revision=_revision(settings))
    if tokenizer.eos_token_id is None:
        message = f"the tokenizer of {settings.model} has no end-of-text token"
        raise TrainingError("tokenizer-endless", message, "Choose another model.")
    if tokenizer.pad_token_id is None:
        # Labels are masked by position, so padding with the end token does not un-train it. Llama 3
        # has a token made for this, which keeps the two apart for every reader of the artifact.
        reserved = "<|finetune_right_pad_id|>"
        known = reserved in tokenizer.get_vocab()
        tokenizer.pad_token = reserved if known else tokenizer.eos_token
    if tokenizer.chat_template is None:
        tokenizer.chat_template = PLAIN_TEMPLATE
        story.decide("chat template", "plain", "the model has none: ### User: and ### Assistant:")
    return tokenizer


def refuse_method(settings: Settings, machine: Machine) -> None:
    """Raises TrainingError, before anything is loaded, for a method that cannot work here."""
    if settings.method != "qlora":
        return
    hint = "Use the method lora: the same adapter, on weights of 16 or 32 bits."
    if machine.kind != "cuda":
        message = "qlora needs an NVIDIA GPU, and torch finds none"
        raise TrainingError("qlora-needs-cuda", message, hint)
    if find_spec("bitsandbytes") is None:
        message = "qlora needs the package bitsandbytes, which is not installed"
        where = f"uv pip install --python {sys.executable} bitsandbytes"
        raise TrainingError("qlora-incomplete", message, f"Install it ({where}). {hint}")


def load_model(settings: Settings, source: str, machine: Machine, story: Story) -> Any:
    """The base model, as precise as its method and the machine ask for; not yet on the device.

    For qlora it is on the device: NF4 with doubly quantised scales (Dettmers et al., QLoRA, 2023).
    """
    from transformers import AutoModelForCausalLM

    dtype, reason = _precision(settings.method, machine)
    story.decide("dtype", str(dtype).removeprefix("torch."), reason)
    attention, reason = _attention(machine)
    story.decide("attention", attention, reason)
    with explaining(settings.model, settings.model_path, settings.revision):
        model, loading = AutoModelForCausalLM.from_pretrained(
            source,
            revision=_revision(settings),
            dtype=dtype,
            attn_implementation=attention,
            output_loading_info=True,
            **(_four_bits(dtype, story) if settings.method == "qlora" else {}),
        )
    if loading["missing_keys"]:
        names = sorted(loading["missing_keys"])
        message = f"{len(names)} weights of {settings.model} are missing, {names[0]} among them"
        raise TrainingError("model-incomplete", message, "They would be random: get it anew.")
    _mend_generation_config(model)
    return model


def _four_bits(dtype: Any, story: Story) -> dict[str, Any]:
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    story.decide("quantisation", "nf4", "frozen weights in 4 bits, their scales quantised too")
    return {
        "quantization_config": config,
        "device_map": {"": int(os.environ.get("LOCAL_RANK", "0"))},
    }


def decide_trainable(model: Any, story: Story) -> None:
    """Tells how many weights are trained, tied ones counted once."""
    parameters = list(model.parameters())
    trained = sum(each.numel() for each in parameters if each.requires_grad)
    total = sum(each.numel() for each in parameters)
    if trained == 0:
        raise TrainingError("nothing-trainable", "no weight of the model can be trained")
    story.decide("trainable parameters", trained, f"{trained / total:.2%} of {total:,}")


def context_length(model: Any) -> int | None:
    """Tokens that the model can see at once."""
    return getattr(model.config.get_text_config(), "max_position_embeddings", None)


def stop_ids(tokenizer: Any, model: Any) -> frozenset[int]:
    """Tokens that end a turn: the tokenizer's and those of the model's generation config."""
    listed = model.generation_config.eos_token_id
    ids = listed if isinstance(listed, list) else [listed]
    return frozenset(each for each in [tokenizer.eos_token_id, *ids] if each is not None)


def _mend_generation_config(model: Any) -> None:
    """Some models come with generation settings that transformers loads and refuses to save."""
    from transformers import GenerationConfig

    try:
        model.generation_config.validate(strict=True)
    except ValueError:
        plain = GenerationConfig.from_model_config(model.config)
        plain.eos_token_id = model.generation_config.eos_token_id
        model.generation_config = plain


def _precision(method: str, machine: Machine) -> tuple[Any, str]:
    import torch

    if machine.kind == "cpu":
        return torch.float32, "bfloat16 is slower on most CPUs"
    if machine.kind == "mps":
        return torch.float32, "the safe choice on Apple's GPU"
    if method == "full":
        return torch.float32, "small updates must not vanish; it computes in bfloat16"
    if not torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.float32, "this GPU has no bfloat16"
    return torch.bfloat16, "frozen weights lose nothing by it; the adapter stays in float32"


def _attention(machine: Machine) -> tuple[str, str]:
    from transformers.utils import is_flash_attn_2_available

    if machine.kind != "cuda":
        return "sdpa", "torch's own"
    if is_flash_attn_2_available():
        return "flash_attention_2", "the flash-attn package is installed"
    return "sdpa", "torch's own; the flash-attn package is not installed"


def _revision(settings: Settings) -> str | None:
    return settings.revision if settings.model_path is None else None


@contextmanager
def explaining(model: str, folder: str | None, revision: str | None) -> Iterator[None]:
    """Turns what the libraries say of a model that they cannot load into what a user can do.

    `folder` is where it is loaded from when not the hub.
    """
    try:
        yield
    except (OSError, ValueError, KeyError) as error:
        raise _explained(model, folder, revision, error) from error


def _explained(
    model: str, folder: str | None, revision: str | None, error: Exception
) -> TrainingError:
    why = first_line(error)
    causes = {type(each).__name__ for each in _chain(error)}
    if folder is not None and not Path(folder).is_dir():
        return TrainingError(
            "model-missing", f"there is no model folder {folder}", "Check the path."
        )
    if folder is not None:
        hint = "It needs config.json, the weights in safetensors, and the tokenizer's files."
        return TrainingError("model-unreadable", f"{folder} cannot be loaded: {why}", hint)
    if "GatedRepoError" in causes:
        hint = f"Accept its terms at https://huggingface.co/{model} and set HF_TOKEN."
        return TrainingError("model-gated", f"the model {model} is gated", hint)
    if "RevisionNotFoundError" in causes:
        message = f"the model {model} has no revision {revision}"
        return TrainingError("model-unknown", message, "Name a commit, branch or tag that it has.")
    if causes & {"RepositoryNotFoundError", "HFValidationError"}:
        message = f"the Hugging Face hub shows no model {model}: it is unknown, or private"
        hint = "Check the name; set HF_TOKEN for a private one; a local one is a folder's path."
        return TrainingError("model-unknown", message, hint)
    if "LocalEntryNotFoundError" in causes:
        message = f"the Hugging Face hub cannot be reached, and {model} is not in the cache"
        hint = f"Check the network, or train a local folder or the toy, {TOY_MODEL}."
        return TrainingError("hub-unreachable", message, hint)
    return TrainingError("model-unreadable", f"{model} cannot be loaded: {why}")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
