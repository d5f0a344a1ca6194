"""What a run is told: from `job.json` inside a job, from flags when run alone."""

import argparse
import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from .errors import TrainingError

TOY_MODEL = "moxi:tiny"

TRACKERS = ("tensorboard", "wandb", "mlflow", "comet", "trackio")

METHODS = ("lora", "qlora", "full")
KEEPS = ("best", "last")
OVERLONG = ("drop", "truncate", "error")
SCHEDULES = ("trapezoid", "linear", "cosine", "constant")

PROGRAM = "python -m moxi_train.finetune.main"


@dataclass(frozen=True)
class Settings:
    """What is learned and how, named as in job.json. None: decided by a rule, which is told."""

    model: str  # the base model's real id, or a local folder
    method: str  # "lora", "qlora" or "full"
    epochs: float
    effective_batch: int  # sequences per optimizer step, whatever the machine
    learning_rate: float
    generation_tokens: int
    seed: int
    revision: str | None = None
    model_path: str | None = None  # where to load the model from, when not the hub
    adapter_path: str | None = None  # the adapter to start from; None: a fresh one
    lora_rank: int | None = None
    lora_alpha: int | None = None
    lora_dropout: float | None = None
    micro_batch: int | None = None  # sequences per forward pass
    schedule: str = "trapezoid"  # how the learning rate falls: see `arguments`
    warmup: float = 0.03  # share of all steps
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    max_seq_length: int | None = None
    overlong: str = "drop"  # "drop", "truncate" or "error": what becomes of longer rows
    gradient_checkpointing: bool | None = None
    eval_every_steps: int | None = None
    save_every_steps: int | None = None
    sample_every_steps: int | None = None  # between first and last: when prompts are answered
    early_stopping: int | None = None  # evaluations without a new best that end the run; None: off
    keep: str = "best"  # "best" or "last": whose weights the artifact holds
    prompts: tuple[str, ...] = ()
    trackers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Task:
    """One run of the program: the settings, the rows, and where results go."""

    settings: Settings
    train: tuple[Path, ...]  # canonical JSONL, in a job
    eval: tuple[Path, ...]
    dataset: Path | None  # alone: one file instead, normalised and split here
    artifact: Path
    checkpoints: Path
    eval_fraction: float = 0.05
    max_eval_rows: int = 500
    group_by: str | None = None
    provenance: dict[str, Any] = field(default_factory=dict)  # run id and hashes, for moxi.run.json


def read_task(arguments: list[str]) -> Task:
    """The task that the command line describes.

    Raises TrainingError for a job.json that is not one; exits with a usage message for wrong flags.
    """
    flags = _parser().parse_args(arguments)
    if flags.job is not None:
        return _from_job(flags.job)
    return _from_flags(flags)


def _from_job(path: Path) -> Task:
    root = Path(os.environ.get("MOXI_ML_ROOT", "/opt/ml"))
    try:
        job = json.loads(path.read_text("utf-8"))
        trainer = {_snake(key): value for key, value in job["trainer"].items()}
        lists = {name: tuple(trainer[name]) for name in ("prompts", "trackers")}
        settings = Settings(**trainer | lists)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TrainingError(
            "job-unreadable", f"{path} is no job that this program reads: {error}"
        ) from error
    for name in ("model_path", "adapter_path"):
        path = getattr(settings, name)
        if path is not None:  # stays as it is when absolute
            settings = Settings(**vars(settings) | {name: str(root / path)})
    named = ("run", "attempt", "planHash", "recipeHash", "datasetFingerprint")
    return Task(
        settings=settings,
        train=_jsonl(root / "input/data/train"),
        eval=_jsonl(root / "input/data/eval"),
        dataset=None,
        artifact=root / "model",
        checkpoints=root / "checkpoints",
        provenance={key: job[key] for key in named if key in job},
    )


def _from_flags(flags: argparse.Namespace) -> Task:
    names = {each.name for each in fields(Settings)}
    given = {
        name: value for name, value in vars(flags).items() if name in names and value is not None
    }
    given["method"] = flags.method or ("full" if flags.model == TOY_MODEL else "lora")
    given["prompts"] = tuple(flags.prompts)
    given["trackers"] = tuple(flags.trackers)
    if flags.effective_batch is None and flags.micro_batch is not None:
        given["effective_batch"] = flags.micro_batch * (flags.gradient_accumulation_steps or 1)
    local = Path(flags.model).expanduser()
    if local.is_dir():
        # Whoever loads the adapter later, from wherever, has to find its base.
        given["model"] = given["model_path"] = str(local.resolve())
    if flags.adapter_path is not None:
        given["adapter_path"] = str(flags.adapter_path.expanduser().resolve())
        given = _shape_of(Path(given["adapter_path"])) | given
    return Task(
        settings=Settings(**_defaults(**given) | given),
        train=(),
        eval=(),
        dataset=flags.dataset,
        artifact=flags.output_dir / "model",
        checkpoints=flags.output_dir / "checkpoints",
        eval_fraction=flags.eval_fraction,
        max_eval_rows=flags.max_eval_rows,
        group_by=flags.group_by,
    )


def _shape_of(adapter: Path) -> dict[str, Any]:
    """An adapter's rank and alpha: whoever goes on from it leaves them as they are."""
    try:
        config = json.loads((adapter / "adapter_config.json").read_text("utf-8"))
        return {"lora_rank": int(config["r"]), "lora_alpha": int(config["lora_alpha"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = f"{adapter} holds no adapter to go on from: {error}"
        hint = "It is the folder with adapter_config.json that a run leaves."
        raise TrainingError("adapter-unreadable", message, hint) from error


def _defaults(model: str, method: str, lora_rank: int = 16, **_: Any) -> dict[str, Any]:
    """What a run alone starts from; in a job the plan has decided.

    LoRA learns at about ten times the rate of full fine-tuning, whatever the rank, and tolerates
    large batches less (Schulman et al., LoRA Without Regret, 2025).
    """
    common = {"seed": 42, "generation_tokens": 200}
    if model == TOY_MODEL:
        return common | {"epochs": 5, "effective_batch": 4, "learning_rate": 1.5e-3, "warmup": 0.05}
    if method == "full":
        return common | {"epochs": 3, "effective_batch": 16, "learning_rate": 2e-5}
    lora = {"lora_rank": lora_rank, "lora_alpha": 2 * lora_rank, "lora_dropout": 0.0}
    return common | lora | {"epochs": 3, "effective_batch": 16, "learning_rate": 2e-4}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Fine-tunes a language model on a file of instruction data, on this machine.",
        epilog="An interrupted run goes on from its last checkpoint under the same command.",
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--dataset", type=Path, metavar="FILE", help="instruction data")
    source.add_argument("--job", type=Path, metavar="FILE", help="inside a job: its job.json")
    add = parser.add_argument
    add("--output-dir", type=Path, default=Path("output"), metavar="DIR", help="default: output")
    add("--model", default=TOY_MODEL, help=f"a Hugging Face id, a folder, or {TOY_MODEL} (default)")
    add("--revision", help="commit, branch or tag of a hub model")
    add("--method", choices=METHODS, help=f"default: lora, and full for {TOY_MODEL}")
    add("--from", dest="adapter_path", type=Path, metavar="DIR", help="go on from this adapter")
    add("--epochs", type=_positive, help="passes over the training rows")
    add("--learning-rate", type=_positive)
    add("--schedule", choices=SCHEDULES)
    add("--warmup", type=_share, help="share of all steps, 0 to 1")
    add("--weight-decay", type=_at_least_zero)
    add("--max-grad-norm", type=_positive)
    add("--batch-size", dest="micro_batch", type=_count, help="sequences per forward pass")
    add("--gradient-accumulation-steps", type=_count, help="forward passes per optimizer step")
    add("--effective-batch", type=_count, help="sequences per optimizer step")
    add("--max-seq-length", type=_count, help="tokens a row may have")
    add("--overlong", choices=OVERLONG, help="what becomes of longer rows; default: drop")
    add("--gradient-checkpointing", action=argparse.BooleanOptionalAction)
    add("--eval-every-steps", type=_count)
    add("--save-every-steps", type=_count)
    add("--sample-every-steps", type=_count)
    add("--early-stopping", type=_count, help="evaluations without a new best that end the run")
    add("--keep", choices=KEEPS, help="weights of the lowest held-out loss, or the last ones")
    add("--eval-fraction", type=_share, default=0.05, help="share of held-out rows, default 0.05")
    add("--max-eval-rows", type=_count, default=500, help="held-out rows at most, default 500")
    add("--group-by", metavar="FIELD", help="rows with one value stay on one side of the split")
    add("--lora-rank", type=_count)
    add("--lora-alpha", type=_count)
    add("--lora-dropout", type=_share)
    add("--prompt", dest="prompts", action="append", default=[], help="to answer, may be repeated")
    add("--generation-tokens", type=_count, help="new tokens a sample answer may have")
    add("--tracker", dest="trackers", action="append", default=[], choices=TRACKERS)
    add("--seed", type=_seed)
    return parser


def _positive(text: str) -> float:
    return _number(text, float, lambda value: value > 0, "a number above 0")


def _at_least_zero(text: str) -> float:
    return _number(text, float, lambda value: value >= 0, "a number from 0 on")


def _share(text: str) -> float:
    return _number(text, float, lambda value: 0 <= value <= 1, "a number from 0 to 1")


def _count(text: str) -> int:
    return _number(text, int, lambda value: value > 0, "a whole number above 0")


def _seed(text: str) -> int:
    return _number(text, int, lambda value: 0 <= value < 2**32, "a whole number below 2^32")


def _number(text: str, kind: type, holds: Callable[[Any], bool], what: str) -> Any:
    try:
        value = kind(text)
        if math.isfinite(value) and holds(value):
            return value
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text} is not {what}")


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def _jsonl(folder: Path) -> tuple[Path, ...]:
    return tuple(sorted(folder.glob("*.jsonl")))
