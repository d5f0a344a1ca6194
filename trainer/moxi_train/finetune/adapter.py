"""Adapters: a fresh one, or that of another run to go on from; trained in fp32 on any base."""

from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from .config import Settings
from .errors import TrainingError, first_line
from .events import Story


def add_adapter(model: Any, settings: Settings, story: Story) -> Any:
    """The model with a LoRA adapter on every linear layer but the head, in fp32 on any base.

    Adapters on attention alone learn less at the same number of parameters (Schulman et al., LoRA
    Without Regret, 2025). AdamW's updates are too small for bf16 weights: most would vanish.
    """
    from peft import LoraConfig, get_peft_model
    from transformers import set_seed

    story.decide("adapter dtype", "float32", "small updates would vanish in less")
    set_seed(settings.seed)
    if settings.adapter_path is not None:
        return _continued(model, settings, story)
    config = LoraConfig(
        r=settings.lora_rank or 16,
        lora_alpha=settings.lora_alpha or 32,
        lora_dropout=settings.lora_dropout or 0.0,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    adapted = get_peft_model(model, config)
    # What others load the base by: its id, or the user's folder; not where this machine has it.
    adapted.peft_config["default"].base_model_name_or_path = settings.model
    adapted.peft_config["default"].revision = settings.revision
    return adapted


def _continued(model: Any, settings: Settings, story: Story) -> Any:
    """The model with the adapter of another run, to train on. Raises TrainingError if none fits."""
    from peft import PeftConfig, PeftModel, get_peft_model_state_dict

    folder = Path(settings.adapter_path or "")
    hint = "It is the folder with adapter_config.json that a run leaves."
    try:
        config = PeftConfig.from_pretrained(str(folder))
    except (OSError, ValueError, TypeError, KeyError) as error:
        message = f"{folder} holds no adapter to go on from: {first_line(error)}"
        raise TrainingError("adapter-unreadable", message, hint) from error
    base = config.base_model_name_or_path
    if base != settings.model:
        message = f"the adapter was trained on {base}, and the base model is {settings.model}"
        raise TrainingError("adapter-foreign", message, f"Train {base}, or start without it.")
    shape = (getattr(config, "r", None), getattr(config, "lora_alpha", None))
    if shape != (settings.lora_rank, settings.lora_alpha):
        message = (
            f"the adapter has rank {shape[0]} and alpha {shape[1]}, and the settings say"
            f" {settings.lora_rank} and {settings.lora_alpha}"
        )
        raise TrainingError("adapter-foreign", message, "An adapter keeps its shape.")
    config.lora_dropout = settings.lora_dropout or 0.0
    config.inference_mode = False
    try:
        with safe_open(folder / "adapter_model.safetensors", "pt") as file:
            names = set(file.keys())
        adapted = PeftModel.from_pretrained(model, str(folder), is_trainable=True, config=config)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        message = f"the adapter in {folder} does not fit {settings.model}: {first_line(error)}"
        raise TrainingError("adapter-foreign", message, hint) from error
    # As when it is saved: PEFT would ask the hub for a base that is a folder elsewhere.
    if set(get_peft_model_state_dict(adapted, save_embedding_layers=False)) != names:
        message = f"the adapter in {folder} has other layers than {settings.model}"
        raise TrainingError("adapter-foreign", message, hint)
    adapted.peft_config["default"].revision = settings.revision
    story.decide("adapter", "continued", f"from {folder.name}, as another run left it")
    return adapted


def keep_precise(model: Any) -> None:
    """Trains adapters in fp32: TRL makes those of quantised models bf16."""
    import torch

    for parameter in model.parameters():
        if parameter.requires_grad and parameter.dtype == torch.bfloat16:
            parameter.data = parameter.data.float()
