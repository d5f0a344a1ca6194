"""The training program, top to bottom.

In a job:  python -m moxi_train.finetune.main --job input/data/job/job.json
Alone:     python -m moxi_train.finetune.main --dataset rows.jsonl --output-dir output

The libraries take ten seconds and more to import, so they come in where they are needed, after a
word to the user.
"""

import os
import sys
import traceback
from pathlib import Path

from . import checkpoint, imports, tiny
from . import rows as dataset
from .canonical import Row
from .checkpoint import Checkpoint
from .config import TOY_MODEL, Settings, Task, read_task
from .console import Console
from .errors import TrainingError, is_out_of_memory
from .events import Pipe, Reporter, Silent, Story
from .model import Machine
from .quiet import silence_libraries

silence_libraries()


def main(arguments: list[str]) -> int:
    """Runs one task. Returns the exit code: 0 done, 1 failed, 128 + n stopped by signal n."""
    try:
        task = read_task(arguments)
        story = Story(_reporter(task))
    except (TrainingError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    try:
        return run(task, story)
    except TrainingError as error:
        story.alert("error", error.code, error.message, error.hint)
        print(error, file=sys.stderr)
    except Exception as error:
        known = _known(error)
        if known is None:
            traceback.print_exc()
        else:
            story.alert("error", known.code, known.message, known.hint)
            print(known, file=sys.stderr)
    return 1


def run(task: Task, story: Story) -> int:
    settings = task.settings

    story.phase("data")
    train_rows, held_out_rows = dataset.load(task, story)

    story.phase("model", f"loading {settings.model}")
    with imports.kept():
        from . import adapter, artifacts, batches, card, data, generate
        from . import model as models
        from .callbacks import Stop
        from .trackers import attach
        from .train import Trainer

    stop = Stop()
    stop.listen()
    machine = models.find_machine(story)
    models.refuse_method(settings, machine)
    resumed = _resume_point(task.checkpoints, story)
    source = _source(settings, machine, train_rows, task.checkpoints, resumed)
    tokenizer = models.load_tokenizer(settings, source, story)
    model = models.load_model(settings, source, machine, story)
    commit = getattr(model.config, "_commit_hash", None)

    renderer = data.Renderer(tokenizer, models.stop_ids(tokenizer, model))
    train = [sample for row in train_rows for sample in renderer.render(row)]
    held_out = [sample for row in held_out_rows for sample in renderer.render(row)]
    renderer.tell(story)
    limit = data.decide_limit(settings, train, models.context_length(model), story)
    train = data.fitting(train, limit, settings.overlong, "rows dropped", story)
    held_out = data.fitting(held_out, limit, settings.overlong, "held-out rows dropped", story)
    if (
        settings.max_steps is not None
    ):  # a rehearsal's held-out loss tells nothing: any rows will do
        held_out = held_out[: settings.max_steps * settings.effective_batch]
    if not train:
        raise TrainingError(
            "nothing-to-train",
            f"no row is left to train on: none has an answer within {limit} tokens",
            f"Shorten the rows, or raise maxSeqLength where the model sees more than {limit}.",
        )

    if settings.method != "full":
        model = adapter.add_adapter(model, settings, story)
    models.decide_trainable(model, story)
    lengths = [len(sample.ids) for sample in train]
    batch = batches.choose_batches(settings, machine, lengths, limit, model, story)
    rows = held_out_rows or train_rows
    prompts = generate.choose_prompts(settings, rows, renderer, models.context_length(model), story)

    def begin(trainer: Trainer) -> None:
        if trainer.lacks_eval:
            trainer.evaluate()
        story.phase("training")

    def sample(step: int) -> None:
        generate.answer(model, tokenizer, prompts, settings.generation_tokens, step, story, stop)

    trainer = Trainer(
        model,
        tokenizer,
        settings,
        machine,
        batch,
        train,
        held_out,
        task.checkpoints,
        story,
        stop,
        begin,
        sample,
    )
    attach(trainer, settings.trackers, task, story)
    trainer.start(resumed)
    if stop.requested:
        return stop.exit_code

    sample(trainer.keep())
    story.phase("saving")
    if trainer.args.should_save:
        outcome = artifacts.Outcome(
            len(train),
            len(held_out),
            dataset.fingerprint(train_rows, held_out_rows),
            commit,
            card.find_licence(settings, source),
            trainer.state.log_history,
        )
        artifacts.save(model, tokenizer, task, outcome, story)
    return 0


def _reporter(task: Task) -> Reporter:
    """Rank 0 speaks: to the supervisor in a job, to a person otherwise."""
    if os.environ.get("RANK", "0") != "0":
        return Silent()
    pipe = os.environ.get("MOXI_EVENTS")
    return Console(sys.stdout, task) if pipe is None else Pipe(pipe)


def _source(
    settings: Settings,
    machine: Machine,
    rows: list[Row],
    checkpoints: Path,
    resumed: Checkpoint | None,
) -> str:
    """Where to load the base model from; the toy is made there, for a run that starts."""
    if settings.model_path is not None:
        return settings.model_path
    if settings.model != TOY_MODEL:
        return settings.model
    if machine.processes > 1:
        raise TrainingError(
            "toy-distributed", f"{TOY_MODEL} trains on one device", "Choose another model."
        )
    base = checkpoints / "base"
    if resumed is None or not base.is_dir():
        with checkpoint.replacing(base) as folder:
            tiny.build(rows, folder, settings.seed)
    return str(base)


def _resume_point(checkpoints: Path, story: Story) -> Checkpoint | None:
    found, faults = checkpoint.newest_valid(checkpoints)
    if faults:
        story.alert(
            "warning",
            "checkpoint-torn",
            f"skipped what is no whole checkpoint: {'; '.join(faults)}",
        )
    if found is not None:
        story.emit("resumed", fromStep=found.step)
    return found


def _known(error: Exception) -> TrainingError | None:
    """What a user can do about errors that any library may raise anywhere."""
    text = str(error)
    if is_out_of_memory(error):
        return TrainingError(
            "out-of-memory",
            f"out of memory: {(text.splitlines() or ['the system refused more'])[0]}",
            "Lower microBatch or maxSeqLength, set gradientCheckpointing, or take a smaller model.",
        )
    if checkpoint.is_disk_full(error):
        return TrainingError(
            "disk-full", f"the disk is full: {text}", "Free some space and resume."
        )
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
