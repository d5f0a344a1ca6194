"""Our training program beside plain TRL on this CPU: the same toy model, rows, tokens and threads.

    node scripts/python.ts bench/train-cpu/compare.py [--repeats 3] [--rows 240] [--epochs 2]
    node scripts/python.ts bench/train-cpu/compare.py --pairs pairs.ndjson     adds to earlier pairs

The peer is TRL's SFTTrainer in fp32 without checkpointing, with our learning rate and batch and
otherwise its defaults (its bare ones, bfloat16 and checkpointing, are far slower on a CPU). Each
run is a process of its own; the two take turns, so that a busy machine slows both. What is compared
are ratios within one pair, each pair with another seed and so with another order of rows, which on
both sides is left to chance. Of speeds and times the median of the pairs is told; of losses, which
differ by chance as the orders do, the mean with its standard error.

Tokens are those of the sequences, without padding. Training time runs from the end of the first
step to the end of the last, without evaluations and checkpoints. The held-out loss is computed by
one function for both, a row at a time. The time to the first step starts with the process, and
contains on our side an evaluation and sample answers that the peer does not make. CPU time leaves
out the waiting for other programs; take --threads 1 for it, since threads that wait spin.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BEGUN = time.time()
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "trainer"))
LEARNING_RATE, BATCH, SEED = 1.5e-3, 4, 42
SPEED, LIMIT_TOKENS = 1.25, 1024


class Clock:
    """Seconds since this process was started, by what was done."""

    def __init__(self, started):
        self.started, self.last, self.parts = started, started, {}

    def mark(self, name):
        now = time.time()
        self.parts[name] = self.parts.get(name, 0) + now - self.last
        self.last = now


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rows", type=int, default=240)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--threads", type=int, help="of torch, on both sides (its default)")
    parser.add_argument("--seed", type=int, default=SEED, help="the pairs count on from it")
    parser.add_argument("--pairs", type=Path, help="keep the pairs here, and tell of all in it")
    parser.add_argument("--schedule", help="of ours, instead of the default")
    parser.add_argument("--worker", choices=("moxi", "trl"))
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--started", type=float)
    flags = parser.parse_args()
    if flags.worker:
        worker = {"moxi": train_moxi, "trl": train_trl}[flags.worker]
        clock = Clock(flags.started)
        if flags.threads:
            os.environ["OMP_NUM_THREADS"] = str(flags.threads)
        clock.mark("starting Python")
        told = worker(flags.folder, flags, clock)
        Path(flags.folder, f"{flags.worker}.json").write_text(json.dumps(told))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder), flags.rows)
        pairs = []
        if flags.pairs and flags.pairs.exists():
            pairs = [json.loads(line) for line in flags.pairs.read_text().splitlines()]
        flags.seed += len(pairs)
        for repeat in range(len(pairs), len(pairs) + flags.repeats):
            order = ("moxi", "trl") if repeat % 2 == 0 else ("trl", "moxi")
            flags.seed += 1  # another order of rows: one alone says little of the loss
            told = {name: measure(name, Path(folder), flags) for name in order}
            pairs.append(told)
            if flags.pairs:
                with flags.pairs.open("a") as file:
                    file.write(json.dumps(told) + "\n")
            ratio = told["moxi"]["tokensPerSecond"] / told["trl"]["tokensPerSecond"]
            loss = told["moxi"]["loss"] / told["trl"]["loss"]
            print(f"pair {repeat + 1}: tokens/s {ratio:.2f} x, loss {loss:.4f} x", flush=True)
    return report(pairs)


def prepare(folder, count):
    """Writes base model, training and held-out rows; only rows that fit whole, on both sides."""
    from moxi_train.finetune import data, rows, tiny

    every = rows.read(ROOT / "data/sft/training_dataset.json")
    chosen = rows.held_out_rows(every, 0.1, 24)
    tiny.build(every, folder / "base", SEED)
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder / "base")
    renderer = data.Renderer(tokenizer, frozenset([tokenizer.eos_token_id]))
    fits = [len(renderer.render(row)[0].ids) <= LIMIT_TOKENS for row in every]
    train = [row for at, row in enumerate(every) if at not in chosen and fits[at]][:count]
    held_out = [row for at, row in enumerate(every) if at in chosen and fits[at]]
    for name, side in (("train", train), ("eval", held_out)):
        text = "".join(json.dumps(row) + "\n" for row in side)
        (folder / f"{name}.jsonl").write_text(text)


def measure(name, folder, flags):
    command = [sys.executable, __file__, "--worker", name, "--folder", str(folder)]
    command += ["--epochs", str(flags.epochs), "--seed", str(flags.seed)]
    command += ["--threads", str(flags.threads)] if flags.threads else []
    command += ["--schedule", flags.schedule] if flags.schedule else []
    command += ["--started", str(time.time())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout[-2000:] + done.stderr[-4000:])
    return json.loads((folder / f"{name}.json").read_text())


def train_moxi(folder, flags, clock):
    """The real program, from its first line to its last."""
    import shutil

    from moxi_train.finetune import main as program
    from moxi_train.finetune.config import Settings, Task
    from moxi_train.finetune.events import Story

    shutil.rmtree(folder / "moxi", ignore_errors=True)
    steps, trained = [], [0.0, 0.0]
    computed = [0.0]  # CPU seconds when the newest event was told

    class Recorder:
        def emit(self, type, **body):
            # What has just ended is named by the event that tells of it.
            if not steps:
                names = {
                    "phase": {
                        "model": "reading rows",
                        "training": "answers before training",
                    },
                    "eval": {None: "evaluation before training"},
                    "decision": {
                        "device": "importing the libraries",
                        "max length": "loading the model, tokenising",
                    },
                }
                name = names.get(type, {}).get(body.get("name"))
                if name:
                    clock.mark(name)
            if type == "step":
                if not steps:
                    clock.mark("trainer and first step")
                    self.first_cpu = time.process_time()
                steps.append(time.time())
                if body["step"] > 1:
                    trained[0] += body["seconds"]
                    trained[1] += time.process_time() - computed[0]
                else:
                    self.first = body["tokens"]
                self.tokens = body["tokens"]
            computed[0] = time.process_time()

    recorder = Recorder()
    settings = Settings(
        model="bench",
        model_path=str(folder / "base"),
        method="full",
        epochs=flags.epochs,
        effective_batch=BATCH,
        learning_rate=LEARNING_RATE,
        generation_tokens=128,
        seed=flags.seed,
        max_seq_length=LIMIT_TOKENS,
        **({"schedule": flags.schedule} if flags.schedule else {}),
    )
    task = Task(
        settings=settings,
        train=(folder / "train.jsonl",),
        eval=(folder / "eval.jsonl",),
        dataset=None,
        artifact=folder / "moxi/model",
        checkpoints=folder / "moxi/checkpoints",
    )
    if program.run(task, Story(recorder)):
        raise SystemExit("the training failed")
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(task.artifact).eval()
    return {
        "tokensPerSecond": (recorder.tokens - recorder.first) / trained[0],
        "tokensPerCpuSecond": (recorder.tokens - recorder.first) / trained[1],
        "tokens": recorder.tokens,
        "steps": len(steps),
        "loss": held_out_loss(model, folder),
        "firstStepCpu": recorder.first_cpu,
        "firstStep": clock.parts,
    }


def train_trl(folder, flags, clock):
    """What its documentation tells to write, told to use fp32 and no checkpointing."""
    from datasets import load_dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    clock.mark("importing the libraries")
    rows = load_dataset(
        "json",
        data_files=str(folder / "train.jsonl"),
        split="train",
        cache_dir=folder / "cache",
    )
    rows = rows.map(
        lambda row: {
            "prompt": row["messages"][:-1],
            "completion": row["messages"][-1:],
        },
        remove_columns=rows.column_names,
    )
    clock.mark("reading rows")
    tokenizer = AutoTokenizer.from_pretrained(folder / "base")
    model = AutoModelForCausalLM.from_pretrained(folder / "base", dtype="float32")
    clock.mark("loading the model")
    ends, computed = [], []

    class Timer(TrainerCallback):
        def on_step_end(self, *_, **__):
            if not ends:
                clock.mark("trainer and first step")
            ends.append(time.time())
            computed.append(time.process_time())

    trainer = SFTTrainer(
        model=model,
        processing_class=tokenizer,
        args=SFTConfig(
            output_dir=str(folder / "trl"),
            num_train_epochs=flags.epochs,
            per_device_train_batch_size=BATCH,
            learning_rate=LEARNING_RATE,
            max_length=LIMIT_TOKENS,
            seed=flags.seed,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            activation_checkpointing=False,
            disable_tqdm=True,
        ),
        train_dataset=rows,
        callbacks=[Timer()],
    )
    lengths = [len(ids) for ids in trainer.train_dataset["input_ids"]]
    clock.mark("tokenising")
    trainer.train()
    per_step = sum(lengths) * flags.epochs / len(ends)  # the first step's tokens are not known
    tokens = sum(lengths) * flags.epochs - per_step
    return {
        "tokensPerSecond": tokens / (ends[-1] - ends[0]),
        "tokensPerCpuSecond": tokens / (computed[-1] - computed[0]),
        "tokens": sum(lengths) * flags.epochs,
        "steps": len(ends),
        "loss": held_out_loss(trainer.model.eval(), folder),
        "firstStepCpu": computed[0],
        "firstStep": clock.parts,
    }


def held_out_loss(model, folder):
    """Nats per answer token, a row at a time, without padding."""
    import torch
    from transformers import AutoTokenizer

    from moxi_train.finetune import data, rows

    tokenizer = AutoTokenizer.from_pretrained(folder / "base")
    renderer = data.Renderer(tokenizer, frozenset([tokenizer.eos_token_id]))
    total = count = 0
    for row in rows.read(folder / "eval.jsonl"):
        (sample,) = renderer.render(row)
        labels = torch.tensor(sample.labels[1:])
        with torch.no_grad():
            logits = model(torch.tensor([sample.ids])).logits[0, :-1].float()
        total += torch.nn.functional.cross_entropy(logits, labels, reduction="sum").item()
        count += int((labels != data.IGNORED).sum())
    return total / count


def report(pairs):
    """Prints the tables; the exit code tells whether what was promised holds."""

    def middle(name, of):
        return statistics.median(of(pair[name]) for pair in pairs)

    def ratios(of):
        return [of(pair["moxi"]) / of(pair["trl"]) for pair in pairs]

    if len({(pair[name]["tokens"], pair[name]["steps"]) for pair in pairs for name in pair}) > 1:
        raise SystemExit(f"the two did not train the same tokens: {pairs}")
    known = pairs[0]["moxi"]
    print(f"\n{len(pairs)} pairs, {known['steps']} steps, {known['tokens']:,} tokens\n")
    print("| what | ours | TRL | ours / TRL (range) | promise |")
    print("|---|---|---|---|---|")
    first = lambda told: sum(told["firstStep"].values())  # noqa: E731
    held = True
    for what, of, form, most, least in (
        ("tokens/s", lambda told: told["tokensPerSecond"], "{:,.0f}", None, SPEED),
        ("tokens/s of CPU time", lambda told: told["tokensPerCpuSecond"], "{:,.0f}", None, SPEED),
        ("start to first step, s", first, "{:.1f}", 1, None),
        ("the same, s of CPU time", lambda told: told["firstStepCpu"], "{:.1f}", None, None),
    ):
        all_of = ratios(of)
        ratio = statistics.median(all_of)
        kept = (most is None or ratio <= most) and (least is None or ratio >= least)
        held = held and kept
        promise = f"<= {most} x" if most else f">= {least} x" if least else ""
        ours, theirs = (form.format(middle(name, of)) for name in ("moxi", "trl"))
        spread = f"{ratio:.2f} x ({min(all_of):.2f} to {max(all_of):.2f})"
        print(f"| {what} | {ours} | {theirs} | {spread} | {promise}{'' if kept else ', MISSED'} |")
    losses = ratios(lambda told: told["loss"])
    ratio = statistics.fmean(losses)
    error = statistics.stdev(losses) / len(losses) ** 0.5 if len(losses) > 1 else float("nan")
    held = held and ratio <= 1
    means = [
        f"{statistics.fmean(pair[name]['loss'] for pair in pairs):.4f}" for name in ("moxi", "trl")
    ]
    spread = f"mean {ratio:.4f} x ± {error:.4f} ({min(losses):.4f} to {max(losses):.4f})"
    kept = "" if ratio <= 1 else ", MISSED"
    print(f"| held-out loss | {' | '.join(means)} | {spread} | <= 1 x{kept} |")
    print("\nFrom start to first step, seconds:\n\n| | ours | TRL |\n|---|---|---|")
    names = list(
        dict.fromkeys(n for pair in pairs for told in pair.values() for n in told["firstStep"])
    )
    for name in names:
        values = [
            f"{middle(side, lambda told, name=name: told['firstStep'].get(name, 0)):.2f}"
            for side in ("moxi", "trl")
        ]
        print(f"| {name} | {' | '.join(values)} |")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
