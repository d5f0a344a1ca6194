"""Our training program beside plain TRL on one NVIDIA GPU, on models of real shapes.

    node scripts/python.ts bench/gpu/compare.py [--models llama-3.2-1b ...] [--steps 30]
    node scripts/python.ts bench/gpu/compare.py --models small      without a GPU: whether it runs

Writes a table and the figures into bench/results/, named after the device.

The weights are random, so nothing is downloaded; speed and memory do not depend on their values.
Both sides train LoRA (rank 16, every linear layer) on the same rows with the same learning rate and
batch. Ours is the real program with what its rules choose; the peer is TRL's SFTTrainer with its
defaults beside (bfloat16 and activation checkpointing on a GPU, no packing, 8 sequences at a time).
Each is a process of its own. Lengths follow a log-normal of median 300 tokens, 16 to 2048, and two
fifths of a row are its answer: about what instruction data looks like.

What is told of each side:
  tokensPerSecond         of all sequences without padding, from the first to the last step's end,
                          without evaluations and checkpoints
  trainedTokensPerSecond  of the answers alone
  mfu                     model FLOPs a second by the GPU's peak. FLOPs a token: 4 N for a frozen
                          base (forward, and backward to the inputs) and 6 P for the adapter's own
                          weights, plus attention 12 L q S (Chowdhery et al., PaLM, 2022, appendix
                          B; L layers, q = heads x head size, S = sum of squared lengths by the
                          sum of lengths); N counts matrix weights, the head among them and the
                          input embedding not. Recomputation by checkpointing does not count.
  peakMemoryBytes         torch.cuda.max_memory_allocated; without a GPU that of the process
  firstStepSeconds        from the start of the process to the end of the first step
"""

import argparse
import datetime
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "trainer"))
BATCH, LEARNING_RATE, RANK, SEED, LONGEST = 16, 2e-4, 16, 42, 2048
WORDS = 1000  # of the tokenizer; the model's vocabulary is that of its shape

LLAMA = {"model_type": "llama", "rms_norm_eps": 1e-5, "rope_theta": 500000.0}
MODELS = {  # as their config.json on the hub has them
    "small": LLAMA
    | {"hidden_size": 128, "intermediate_size": 352, "num_hidden_layers": 2, "vocab_size": 2048}
    | {"num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": True},
    "llama-3.2-1b": LLAMA
    | {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16}
    | {"num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64}
    | {"vocab_size": 128256, "tie_word_embeddings": True},
    "llama-3.2-3b": LLAMA
    | {"hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 28}
    | {"num_attention_heads": 24, "num_key_value_heads": 8, "head_dim": 128}
    | {"vocab_size": 128256, "tie_word_embeddings": True},
    "llama-3.1-8b": LLAMA
    | {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32}
    | {"num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128}
    | {"vocab_size": 128256, "tie_word_embeddings": False},
    "qwen3-4b": {"model_type": "qwen3", "rms_norm_eps": 1e-6, "rope_theta": 1000000.0}
    | {"hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36}
    | {"num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128}
    | {"vocab_size": 151936, "tie_word_embeddings": True},
}
# Dense bfloat16 TFLOP/s from NVIDIA's data sheets (their figures with sparsity, halved). The A10G
# has no sheet of its own: 70 is what its clock and tensor cores give.
PEAKS = {
    "B200": 2250,
    "H200": 989,
    "H100 NVL": 835,
    "H100 PCIe": 756,
    "H100": 989,
    "A100": 312,
    "L40S": 362,
    "L4": 121,
    "A10G": 70,
}
NO_GPU = (
    "**No GPU: a model of toy size on a CPU, on a machine that did other work too.** It shows that"
    " the script runs to its end; the figures say nothing of a GPU."
)
TEMPLATE = (
    "{% for message in messages %}{{ message['role'] + ' ' + message['content'] + ' end ' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'assistant ' }}{% endif %}"
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    real = [name for name in MODELS if name != "small"]
    parser.add_argument("--models", nargs="+", choices=MODELS, default=real)
    parser.add_argument("--steps", type=int, help="default: 30, without a GPU 6")
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results")
    parser.add_argument("--worker", choices=("moxi", "trl"))
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--started", type=float)
    flags = parser.parse_args()
    if flags.worker:
        told = {"moxi": train_moxi, "trl": train_trl}[flags.worker](flags.folder, flags.started)
        (flags.folder / f"{flags.worker}.json").write_text(json.dumps(told))
        return
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    steps = flags.steps or (6 if device == "CPU" else 30)
    results = []
    for name in flags.models:
        with tempfile.TemporaryDirectory() as folder:
            facts = prepare(Path(folder), name, steps)
            sides = {side: measure(side, Path(folder)) for side in ("moxi", "trl")}
        for told in sides.values():
            told.update(rates(told, facts))
        results.append({"model": name, **facts, **sides})
    at = datetime.datetime.now(datetime.UTC)
    note = None if device != "CPU" else NO_GPU
    told = {"device": device, "note": note, "at": at.isoformat(timespec="seconds")}
    told |= {"versions": versions(), "results": results}
    text = table(told)
    flags.out.mkdir(parents=True, exist_ok=True)
    models = "-small" if flags.models == ["small"] else ""
    path = flags.out / f"{device.lower().replace(' ', '-')}{models}-{at:%Y%m%d-%H%M%S}.json"
    path.write_text(json.dumps(told, indent=2) + "\n")
    path.with_suffix(".md").write_text(text)
    print(f"{text}\n{path}")


def prepare(folder, name, steps):
    """Writes model, tokenizer and rows; returns what is the same for both sides."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast, set_seed

    words = ["pad", "end", "user", "assistant", *(f"w{index}" for index in range(WORDS))]
    tokenizer = Tokenizer(
        models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="pad")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="end", pad_token="pad", chat_template=TEMPLATE
    ).save_pretrained(folder / "base")

    on_gpu = torch.cuda.is_available()
    set_seed(SEED)
    config = AutoConfig.for_model(
        **MODELS[name], max_position_embeddings=8192, bos_token_id=None, eos_token_id=1
    )
    with torch.device("cuda" if on_gpu else "cpu"):
        model = AutoModelForCausalLM.from_config(
            config, dtype=torch.bfloat16 if on_gpu else torch.float32
        )
    model.save_pretrained(folder / "base")
    dense = [
        (path, parameter.numel())
        for path, parameter in model.named_parameters()
        if parameter.dim() == 2
    ]
    matrices = sum(count for path, count in dense if "embed_tokens" not in path)
    if config.tie_word_embeddings:
        matrices += config.vocab_size * config.hidden_size
    heads = config.num_attention_heads
    query = heads * (getattr(config, "head_dim", None) or config.hidden_size // heads)
    linear = [module for path, module in model.named_modules() if "_proj" in path]
    adapter = sum(RANK * (each.in_features + each.out_features) for each in linear)

    chance = random.Random(SEED)
    lengths, trained = [], 0
    with (folder / "train.jsonl").open("w") as file:
        for _ in range(BATCH * steps):
            length = min(LONGEST, max(16, round(chance.lognormvariate(5.7, 0.8))))
            answer = max(1, round(0.4 * length) - 1)
            turns = (("user", length - answer - 4), ("assistant", answer))
            said = [
                " ".join(f"w{chance.randrange(WORDS)}" for _ in range(count)) for _, count in turns
            ]
            messages = [
                {"role": role, "content": text} for (role, _), text in zip(turns, said, strict=True)
            ]
            file.write(json.dumps({"messages": messages}) + "\n")
            lengths.append(length)
            trained += answer + 1
    spread = sum(length**2 for length in lengths) / sum(lengths)
    attention = 12 * config.num_hidden_layers * query * spread
    return {
        "steps": steps,
        "sequences": len(lengths),
        "tokens": sum(lengths),
        "trainedTokens": trained,
        "flopsPerToken": 4 * matrices + 6 * adapter + attention,
    }


def measure(side, folder):
    command = [sys.executable, __file__, "--worker", side, "--folder", str(folder)]
    done = subprocess.run(
        [*command, "--started", str(time.time())], capture_output=True, text=True, check=False
    )
    if done.returncode:
        # Out of memory is a result too: that of plain defaults on a small card.
        return {"error": (done.stderr.strip().splitlines() or ["killed"])[-1][:300]}
    return json.loads((folder / f"{side}.json").read_text())


def train_moxi(folder, started):
    from moxi_train.finetune import main as program
    from moxi_train.finetune.config import Settings, Task
    from moxi_train.finetune.events import Story

    steps, ends = [], []

    class Recorder:
        def emit(self, type, **body):
            if type == "step":
                steps.append(body)
                ends.append(time.time())

    story = Story(Recorder())
    settings = Settings(
        model="bench",
        model_path=str(folder / "base"),
        method="lora",
        lora_rank=RANK,
        lora_alpha=2 * RANK,
        lora_dropout=0.0,
        epochs=1,
        effective_batch=BATCH,
        learning_rate=LEARNING_RATE,
        generation_tokens=16,
        max_seq_length=LONGEST,
        prompts=("w1 w2 w3",),
        seed=SEED,
    )
    task = Task(
        settings=settings,
        train=(folder / "train.jsonl",),
        eval=(),
        dataset=None,
        artifact=folder / "out/model",
        checkpoints=folder / "out/checkpoints",
    )
    if program.run(task, story):
        raise SystemExit("the training failed")
    shutil.rmtree(folder / "out")
    told = {"steps": len(steps), "seconds": sum(step["seconds"] for step in steps[1:])}
    return told | after(ends[0] - started) | {"decisions": story.decisions}


def train_trl(folder, started):
    import torch
    from datasets import load_dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    on_gpu = torch.cuda.is_available()
    rows = load_dataset(
        "json", data_files=str(folder / "train.jsonl"), split="train", cache_dir=folder / "cache"
    )
    rows = rows.map(
        lambda row: {"prompt": row["messages"][:-1], "completion": row["messages"][-1:]},
        remove_columns=rows.column_names,
    )
    model = AutoModelForCausalLM.from_pretrained(
        folder / "base", dtype=torch.bfloat16 if on_gpu else torch.float32
    )
    ends = []

    class Timer(TrainerCallback):
        def on_step_end(self, *_, **__):
            if on_gpu:
                torch.cuda.synchronize()
            ends.append(time.time())

    cpu = {"use_cpu": True, "bf16": False, "gradient_checkpointing": False}
    trainer = SFTTrainer(
        model=model,
        processing_class=AutoTokenizer.from_pretrained(folder / "base"),
        args=SFTConfig(
            output_dir=str(folder / "trl"),
            num_train_epochs=1,
            per_device_train_batch_size=8,
            gradient_accumulation_steps=BATCH // 8,
            learning_rate=LEARNING_RATE,
            max_length=LONGEST,
            seed=SEED,
            save_strategy="no",
            disable_tqdm=True,
            **({} if on_gpu else cpu),
        ),
        train_dataset=rows,
        peft_config=LoraConfig(
            r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", task_type="CAUSAL_LM"
        ),
        callbacks=[Timer()],
    )
    trainer.train()
    return {"steps": len(ends), "seconds": ends[-1] - ends[0]} | after(ends[0] - started)


def after(first):
    import torch

    from moxi_train.finetune.callbacks import peak_memory

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return {"firstStepSeconds": first, "peakMemoryBytes": peak_memory(device)}


def rates(told, facts):
    """What follows from the seconds; both sides are given the mean tokens of a step."""
    import torch

    if "error" in told:
        return {}
    share = (told["steps"] - 1) / told["steps"] / told["seconds"]
    speed = facts["tokens"] * share
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    peak = next((value * 1e12 for key, value in PEAKS.items() if key in name), None)
    return {
        "tokensPerSecond": speed,
        "trainedTokensPerSecond": facts["trainedTokens"] * share,
        # Of an unknown device nothing is better than a wrong guess.
        "mfu": None if peak is None else speed * facts["flopsPerToken"] / peak,
    }


def table(told):
    lines = [f"# Ours beside plain TRL: {told['device']}, {told['at'][:10]}", ""]
    lines += [told["note"], ""] if told["note"] else []
    lines.append("| model | side | tokens/s | trained/s | MFU | peak memory | first step after |")
    lines.append("|---|---|---|---|---|---|---|")
    for result in told["results"]:
        for side, name in (("moxi", "ours"), ("trl", "TRL")):
            one = result[side]
            if "error" in one:
                lines.append(f"| {result['model']} | {name} | {one['error']} | | | | |")
                continue
            mfu = "unknown" if one["mfu"] is None else f"{one['mfu']:.1%}"
            lines.append(
                f"| {result['model']} | {name} | {one['tokensPerSecond']:,.0f}"
                f" | {one['trainedTokensPerSecond']:,.0f} | {mfu}"
                f" | {one['peakMemoryBytes'] / 2**30:.2f} GiB | {one['firstStepSeconds']:.1f} s |"
            )
    facts = [
        f"{each['model']}: {each['sequences']} sequences, {each['tokens']:,} tokens"
        f" in {each['steps']} steps"
        for each in told["results"]
    ]
    versions = ", ".join(f"{name} {number}" for name, number in told["versions"].items())
    return "\n".join([*lines, "", *(f"- {fact}" for fact in facts), f"- {versions}"]) + "\n"


def versions():
    from importlib.metadata import version

    return {name: version(name) for name in ("torch", "transformers", "trl", "peft", "accelerate")}


if __name__ == "__main__":
    main()
