"""An adapter and its base as one model: `moxi merge`.

    python -m moxi_train.merge --adapter DIR --base DIR_OR_ID [--revision REV] --output DIR

The last line of stdout is one JSON object: {"files", "bytes"}, or {"error": {"message", "hint"}}
with exit code 1.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from .finetune import artifacts, checkpoint
from .finetune.card import CARD, write_card
from .finetune.errors import TrainingError
from .finetune.quiet import silence_libraries

silence_libraries()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m moxi_train.merge", description=__doc__)
    add = parser.add_argument
    add("--adapter", type=Path, required=True, metavar="DIR", help="the artifact of a run")
    add("--base", required=True, help="the base model: a folder, or its id on the hub")
    add("--revision", help="the base's commit on the hub")
    add("--output", type=Path, required=True, metavar="DIR")
    flags = parser.parse_args(arguments)
    try:
        merge(flags.adapter, flags.base, flags.revision, flags.output)
    except Exception as error:
        hint = error.hint if isinstance(error, TrainingError) else None
        message = error.message if isinstance(error, TrainingError) else _told(error)
        print(json.dumps({"error": {"message": message, "hint": hint}}))
        return 1
    files = sum(path.is_file() for path in flags.output.rglob("*"))
    print(json.dumps({"files": files, "bytes": checkpoint.folder_bytes(flags.output)}))
    return 0


def merge(adapter: Path, base: str, revision: str | None, output: Path) -> None:
    """Writes base plus adapter at `output`, whole or not at all, as precise as the base is stored.

    The sum is made in float32: an adapter's small changes would vanish in a base of 16 bits before
    they are rounded once, at the end.
    """
    import torch
    from peft import PeftModel
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    record = json.loads((adapter / artifacts.RECORD).read_text("utf-8"))
    stored = AutoConfig.from_pretrained(base, revision=revision).dtype or torch.float32
    model, loading = AutoModelForCausalLM.from_pretrained(
        base, revision=revision, dtype=torch.float32, output_loading_info=True
    )
    if loading["missing_keys"]:
        name = sorted(loading["missing_keys"])[0]
        raise TrainingError("model-incomplete", f"the base model lacks weights, {name} among them")
    adapted = PeftModel.from_pretrained(model, str(adapter))
    merged = adapted.merge_and_unload(safe_merge=True).to(stored)
    with checkpoint.replacing(output) as folder:
        # The adapter's own: what it was trained with, not what the base came with.
        merged.generation_config = GenerationConfig.from_pretrained(adapter)
        merged.save_pretrained(folder)
        AutoTokenizer.from_pretrained(adapter).save_pretrained(folder)
        shutil.copyfile(adapter / artifacts.METRICS, folder / artifacts.METRICS)
        record |= {"kind": "model", "merged": True}
        artifacts.write_record(folder, record)
        history = artifacts.read_metrics(folder / artifacts.METRICS)
        (folder / CARD).write_text(write_card(record, history), "utf-8")
        artifacts.open_to_readers(folder)


def _told(error: Exception) -> Any:
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        return "out of memory: merging needs the whole base model in 32 bits"
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
