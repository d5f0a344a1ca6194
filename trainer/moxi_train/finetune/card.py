"""The model card of an artifact: README.md, in the form that the Hugging Face hub reads."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .config import TOY_MODEL, Settings

CURVE_ROWS = 12  # of the learning curve, at most
CARD = "README.md"


@dataclass(frozen=True)
class Licence:
    """What the base model's card says of its licence, in the hub's own words."""

    id: str  # "apache-2.0", "other" ...
    name: str | None = None
    link: str | None = None


def find_licence(settings: Settings, source: str) -> Licence | None:
    """The base's licence, where its card tells one: beside the weights, or on the hub.

    It is worth no failure: a card that cannot be read says nothing.
    """
    if settings.model == TOY_MODEL:
        return None
    try:
        from huggingface_hub import ModelCard, hf_hub_download

        path = Path(source) / CARD
        if not Path(source).is_dir():
            path = Path(hf_hub_download(source, CARD, revision=settings.revision))
        data = ModelCard(path.read_text("utf-8"), ignore_metadata_errors=True).data
    except Exception:  # no card, no network, no YAML
        return None
    if not isinstance(data.license, str):
        return None
    more = [data.get(name) for name in ("license_name", "license_link")]
    return Licence(data.license, *(text if isinstance(text, str) else None for text in more))


def write_card(record: dict[str, Any], history: Sequence[dict[str, Any]]) -> str:
    """The card's text. `record` is that of moxi.run.json, `history` the trainer's log."""
    adapter, kind = record["kind"] == "adapter", record["base"]["kind"]
    commit = record["base"]["commit"] or record["base"]["revision"]
    licence = record["base"]["licence"]
    base = record["base"]["id"]
    if kind == "folder":
        base = Path(base).name  # where it was is nobody's business
    what = "A LoRA adapter for" if adapter else "A full fine-tune of"
    if record.get("merged"):
        what = "A LoRA adapter, merged into"
    about = f"{what} `{base}`{f' at `{commit}`' if commit else ''}"
    about += f", trained with Moxi on {record['rows']['train']:,} sequences."
    if kind == "toy":
        about += " A toy, made from scratch to show that training works: no model to use."
    parts = [_header(record), f"# {base}, fine-tuned", about]
    loss = record["heldOutLoss"]
    if loss is not None:
        held_out = record["rows"]["heldOut"]
        parts += [
            "## Held-out loss",
            f"Cross-entropy per answer token, in nats, over {held_out} rows"
            " that were not trained on.",
            _table(("before", "after", "best"), [[f"{value:.4f}" for value in loss.values()]]),
        ]
    parts += [
        "## Learning curve",
        _table(("step", "epoch", "training loss", "held-out loss"), _curve(history)),
        "The training loss is that of one step, so it jumps. Every step is in `metrics.csv`.",
        "## Use",
        "\n".join(["```python", *_usage(adapter), "```"]),
        "## Data",
        f"SHA-256 of the rows: `{record['datasetFingerprint']}`"
        f" ({record['rows']['train']} sequences trained, {record['rows']['heldOut']} held out).",
        "## Settings",
        _table(("setting", "value"), _settings(record["settings"])),
        "Every setting, those that were derived too, is in `moxi.run.json`.",
        "## Licence",
        _licence_text(licence, kind),
    ]
    return "\n\n".join(parts) + "\n"


def _header(record: dict[str, Any]) -> str:
    """The front matter. JSON text is YAML text, so no name can break out of its line."""
    adapter, base, licence = record["kind"] == "adapter", record["base"], record["base"]["licence"]
    fields: dict[str, Any] = {"library_name": "peft" if adapter else "transformers"}
    if base["kind"] == "hub":
        fields["base_model"] = base["id"]
        fields["base_model_relation"] = "adapter" if adapter else "finetune"
    if licence is not None:
        names = {"id": "license", "name": "license_name", "link": "license_link"}
        fields |= {names[key]: value for key, value in licence.items() if value is not None}
    fields |= {"pipeline_tag": "text-generation", "tags": ["moxi", "sft"]}
    lines = [f"{key}: {json.dumps(value)}" for key, value in fields.items()]
    return "\n".join(["---", *lines, "---"])


def _curve(history: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Evenly spread steps, those that were scored first: each with what is known of it."""
    by_step: dict[int, dict[str, Any]] = {}
    for entry in history:
        by_step.setdefault(entry["step"], {}).update(entry)
    scored = [step for step, entry in by_step.items() if "eval_loss" in entry]
    steps = sorted(scored or by_step)
    if len(steps) > CURVE_ROWS:
        last = len(steps) - 1
        steps = [steps[round(at * last / (CURVE_ROWS - 1))] for at in range(CURVE_ROWS)]
    return [
        [
            str(step),
            f"{by_step[step].get('epoch') or 0:.2f}",
            *(_number(by_step[step].get(name)) for name in ("loss", "eval_loss")),
        ]
        for step in steps
    ]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _settings(settings: dict[str, Any]) -> list[list[str]]:
    names = ["method", "epochs", "effectiveBatch", "learningRate", "schedule", "warmup"]
    names += ["weightDecay", "maxGradNorm", "maxSeqLength", "seed"]
    names += ["loraRank", "loraAlpha", "loraDropout"]
    return [[name, str(settings[name])] for name in names if settings.get(name) is not None]


def _licence_text(licence: dict[str, str | None] | None, kind: str) -> str:
    if licence is None:
        toy = "The base was made on the spot; there is nothing of anybody's in it but the rows."
        unknown = "The base model's card tells none: see where you got it."
        return toy if kind == "toy" else unknown
    told = f"`{licence['name'] or licence['id']}`"
    link = f", {licence['link']}" if licence["link"] else ""
    return f"The base model's licence is {told}{link}. What is derived from it is under its terms."


def _usage(adapter: bool) -> list[str]:
    library, auto = "transformers", "AutoModelForCausalLM"
    if adapter:
        library, auto = "peft", "AutoPeftModelForCausalLM"
    return [
        f"from {library} import {auto}",
        "from transformers import AutoTokenizer",
        "",
        'folder = "path/of/this/folder"',
        f"model = {auto}.from_pretrained(folder)",
        "tokenizer = AutoTokenizer.from_pretrained(folder)",
        "inputs = tokenizer.apply_chat_template(",
        '    [{"role": "user", "content": "..."}], add_generation_prompt=True, return_tensors="pt"',
        ")",
        "output = model.generate(**inputs, max_new_tokens=200)",
        'print(tokenizer.decode(output[0, inputs["input_ids"].shape[1] :]))',
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
