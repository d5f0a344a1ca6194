"""A base model's small twin: its architecture and tokenizer, few and narrow layers, random weights.

    python -m moxi_train.shrink --model DIR_OR_ID [--revision REV] --output DIR
                                [--adapter DIR --adapter-output DIR]

A rehearsal trains it in the model's place. Of a model on the hub only what describes it is fetched,
never its weights. With --adapter, an adapter of the same shape is made for the twin. The last line
of stdout is one JSON object: {"parameters", "layers"}, or {"error": {"message", "hint"}} with exit
code 1.
"""

import argparse
import json
import shutil
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from .finetune.errors import TrainingError
from .finetune.model import explaining
from .finetune.quiet import silence_libraries

silence_libraries()

DESCRIPTION = ("*.json", "*.txt", "*.model", "*.jinja", "*.tiktoken")
NOT_DESCRIPTION = ("*.index.json", "*/*", "adapter_*", "moxi.run.json")
WIDTHS = {  # by the names that most architectures use; others keep theirs
    "hidden_size": 64,
    "head_dim": 16,
    "num_attention_heads": 4,
    "hidden_size_per_layer_input": 16,
}
INNER = ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size")
INNER_WIDTH = 128
LARGEST = 300_000_000  # parameters that a machine without a GPU trains for two steps in no time


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m moxi_train.shrink", description=__doc__)
    add = parser.add_argument
    add("--model", required=True, help="the base model: a folder, or its id on the hub")
    add("--revision", help="its commit on the hub")
    add("--output", type=Path, required=True, metavar="DIR")
    add("--adapter", type=Path, metavar="DIR", help="an adapter of the base model")
    add("--adapter-output", type=Path, metavar="DIR")
    flags = parser.parse_args(arguments)
    try:
        describe(flags.model, flags.revision, flags.output)
        model = shrink(flags.output)
        if flags.adapter is not None:
            shrink_adapter(model, flags.adapter, flags.adapter_output)
    except TrainingError as error:
        print(json.dumps({"error": {"message": error.message, "hint": error.hint}}))
        return 1
    layers = model.config.get_text_config().num_hidden_layers
    print(json.dumps({"parameters": _parameters(model), "layers": layers}))
    return 0


def describe(model: str, revision: str | None, output: Path) -> None:
    """Puts all that describes a model into `output`: config, tokenizer, templates, no weights.

    Raises TrainingError where the hub does not give it.
    """
    output.mkdir(parents=True, exist_ok=True)
    if Path(model).is_dir():
        for path in Path(model).iterdir():
            if _describes(path.name) and path.is_file():
                shutil.copyfile(path, output / path.name)
        return
    from huggingface_hub import snapshot_download

    with explaining(model, None, revision):
        snapshot_download(
            model,
            revision=revision,
            local_dir=output,
            allow_patterns=list(DESCRIPTION),
            ignore_patterns=list(NOT_DESCRIPTION),
        )


def _describes(name: str) -> bool:
    return any(fnmatch(name, each) for each in DESCRIPTION) and not any(
        fnmatch(name, each) for each in NOT_DESCRIPTION
    )


def shrink(folder: Path) -> Any:
    """Writes the twin of the model that `folder` describes beside its description; returns it.

    Raises TrainingError for an architecture that cannot be made small.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, set_seed

    with explaining(str(folder), str(folder), None):
        config = AutoConfig.from_pretrained(folder)
    set_seed(1)
    reasons = []
    for smaller in (narrowed, shortened):
        try:
            small = smaller(config)
            with torch.device("meta"):  # counted before any of them takes memory
                count = _parameters(AutoModelForCausalLM.from_config(small))
            if count > LARGEST:
                raise ValueError(f"it would still have {count:,} parameters")
            model = AutoModelForCausalLM.from_config(small, dtype=torch.float32)
            model(torch.zeros((1, 8), dtype=torch.long))
        except Exception as error:  # whatever the architecture says to such a config
            reasons.append(f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}")
            continue
        generation = folder / "generation_config.json"
        kept = generation.read_bytes() if generation.exists() else None
        model.save_pretrained(folder)
        if kept is not None:
            generation.write_bytes(kept)
        return model
    name = (config.architectures or [config.model_type])[0]
    raise TrainingError(
        "model-unshrinkable",
        f"no small twin of {name} can be made: {'; '.join(reasons)}",
        "A rehearsal with another model, such as moxi:tiny, tries all but this architecture.",
    )


def _parameters(model: Any) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def narrowed(config: Any) -> Any:
    """The config with as few layers as show every kind, each as narrow as its heads allow."""
    shorter = shortened(config)
    values = _values(shorter.get_text_config())
    heads, groups = _number(values, "num_attention_heads"), _number(values, "num_key_value_heads")
    rotated = _number(values, "qk_rope_head_dim")  # with it, a head's width is a sum of others
    for name, width in WIDTHS.items():
        if _number(values, name) is not None and not (name == "head_dim" and rotated):
            values[name] = width
    if heads is not None and groups is not None:
        values["num_key_value_heads"] = max(1, WIDTHS["num_attention_heads"] * groups // heads)
    for name in list(values):
        if name.endswith(INNER) and _number(values, name) is not None:
            values[name] = min(values[name], INNER_WIDTH)
    _fit_rotation(values)
    return _rebuilt(shorter, values)


def shortened(config: Any) -> Any:
    """The config with as few layers as show every kind."""
    values = _values(config.get_text_config())
    kinds = values.get("layer_types")
    layers = max(2, (_number(values, "first_k_dense_replace") or 0) + 1)
    if isinstance(kinds, list) and kinds:
        while layers < len(kinds) and set(kinds[:layers]) != set(kinds):
            layers += 1
        values["layer_types"] = kinds[:layers]
    layers = min(layers, _number(values, "num_hidden_layers") or layers)
    values["num_hidden_layers"] = layers
    own = values.get("per_layer_config")
    if isinstance(own, dict):
        values["per_layer_config"] = {at: own[at] for at in own if int(at) < layers}
    return _rebuilt(config, values)


def _values(config: Any) -> dict[str, Any]:
    """A config's settings under the names that most architectures use."""
    common = {own: name for name, own in config.attribute_map.items()}
    return {common.get(name, name): value for name, value in config.to_dict().items()}


def _rebuilt(config: Any, values: dict[str, Any]) -> Any:
    """A config of the same class; of one with several parts, with another text part."""
    text = config.get_text_config()
    own = {text.attribute_map.get(name, name): value for name, value in values.items()}
    rebuilt = type(text).from_dict(own)
    if text is config:
        return rebuilt
    whole = type(config).from_dict(config.to_dict())
    whole.text_config = rebuilt
    return whole


def _fit_rotation(values: dict[str, Any]) -> None:
    """Cuts the factors of rotary embeddings, one for each pair of a head's dimensions."""
    for key in ("rope_parameters", "rope_scaling"):
        rotation = values.get(key)
        if not isinstance(rotation, dict):
            continue
        share = rotation.get("partial_rotary_factor") or values.get("partial_rotary_factor") or 1
        head = values.get("head_dim") or WIDTHS["hidden_size"] // WIDTHS["num_attention_heads"]
        values[key] = {
            name: factor[: int(head * share) // 2] if isinstance(factor, list) else factor
            for name, factor in rotation.items()
        }


def _number(values: dict[str, Any], name: str) -> int | None:
    value = values.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def shrink_adapter(model: Any, adapter: Path, output: Path) -> None:
    """Writes an adapter for the twin with the settings of one for the model.

    Raises TrainingError where there is none.
    """
    from peft import PeftConfig, get_peft_model

    try:
        config = PeftConfig.from_pretrained(str(adapter))
        base, revision = config.base_model_name_or_path, config.revision
        config.base_model_name_or_path = None  # PEFT would warn of the change
        adapted = get_peft_model(model, config)
    except (OSError, ValueError, TypeError, KeyError) as error:
        message = f"{adapter} holds no adapter that can be shrunk: {error}"
        raise TrainingError("adapter-unreadable", message) from error
    own = adapted.peft_config["default"]
    own.base_model_name_or_path, own.revision = base, revision
    adapted.save_pretrained(output, save_embedding_layers=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
