"""The fast tokenizer on one core: peer.py train|count FOLDER, over FOLDER/rows.jsonl.

Chats are joined to ChatML by hand, which costs least; texts are encoded in batches without offsets.
"""

import json
import os
import sys
import time
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content']"
    " + '<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def lines(folder):
    with (folder / "rows.jsonl").open(encoding="utf-8") as file:
        yield from file


def train(folder):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=32000,
        special_tokens=["<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = (m["content"] for line in lines(folder) for m in json.loads(line)["messages"])
    tokenizer.train_from_iterator(texts, trainer)
    model = folder / "model"
    model.mkdir()
    tokenizer.save(str(model / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|im_end|>",
        "chat_template": TEMPLATE,
    }
    (model / "tokenizer_config.json").write_text(json.dumps(settings))


def count(folder):
    tokenizer = Tokenizer.from_file(str(folder / "model/tokenizer.json"))
    started = time.perf_counter()
    tokens, batch = 0, []

    def flush():
        found = tokenizer.encode_batch_fast(batch, add_special_tokens=False)
        batch.clear()
        return sum(len(each.ids) for each in found)

    for line in lines(folder):
        messages = json.loads(line)["messages"]
        batch.append(
            "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages)
        )
        if len(batch) == 500:
            tokens += flush()
    tokens += flush()
    print(tokens, time.perf_counter() - started)


{"train": train, "count": count}[sys.argv[1]](Path(sys.argv[2]))
