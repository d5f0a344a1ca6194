"""What the training program trains on, for TypeScript to be held to.

    render.py FOLDER < rows.ndjson > samples.ndjson

Makes a tokenizer of each kind for each family's chat template in FOLDER/<name>, and renders every
row with each.
"""

import json
import math
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

from support import Recorder
from test_families import CALLS, CHATS, ORIGINALS, OWN, TEXTS
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

from moxi_train.finetune.canonical import canonical_row
from moxi_train.finetune.config import Settings
from moxi_train.finetune.data import Renderer, decide_limit, fitting
from moxi_train.finetune.errors import TrainingError
from moxi_train.finetune.events import Story
from moxi_train.finetune.model import load_tokenizer

CONTEXT = 40000
SETTINGS = Settings("", "lora", 1, 1, 1e-4, 0, 0)

LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def split_bytes(pattern):
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def gpt2():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return tokenizer, "bytes"


def llama3():
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = split_bytes(LLAMA3_SPLIT)
    return tokenizer, "bytes"


def qwen():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = split_bytes(QWEN_SPLIT)
    return tokenizer, "bytes"


def unigram():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    return tokenizer, "unigram"


def sentencepiece():
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    return tokenizer, "pieces"


def wordpiece():
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer, "wordpiece"


KINDS = {each.__name__: each for each in (gpt2, llama3, qwen, unigram, sentencepiece, wordpiece)}


def common_pieces(tokenizer, corpus, limit):
    """How often each of the texts' characters and of their commonest pieces is there.

    The library's own trainers of Unigram and WordPiece choose others every time. No piece is a
    run of one character: a longer run could then be split in two ways of the same score, of
    which the two libraries need not take the same.
    """
    counts = Counter()
    for text in corpus:
        if tokenizer.normalizer is not None:
            text = tokenizer.normalizer.normalize_str(text)
        for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text):
            for start in range(len(word)):
                ends = range(start + 1, min(start + 9, len(word) + 1))
                counts.update(word[start:end] for end in ends)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    characters = [item for item in ranked if len(item[0]) == 1]
    longer = [item for item in ranked if len(set(item[0])) > 1]
    return dict(characters + longer[:limit])


def trained(kind, control, corpus):
    """A tokenizer of the kind with about 600 tokens, the same every time."""
    tokenizer, how = KINDS[kind]()
    special = [AddedToken(each, special=True, normalized=False) for each in control]
    common = {"vocab_size": 600, "show_progress": False}
    if how == "bytes":
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(special_tokens=special, initial_alphabet=alphabet, **common)
        tokenizer.train_from_iterator(corpus, trainer)
    elif how == "pieces":
        tokenizer.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
        )
        octets = [f"<0x{byte:02X}>" for byte in range(256)]
        trainer = trainers.BpeTrainer(special_tokens=["<unk>", *special, *octets], **common)
        tokenizer.train_from_iterator(corpus, trainer)
    elif how == "unigram":
        tokenizer.decoder = decoders.Metaspace()
        pieces = common_pieces(tokenizer, corpus, 400)
        total = sum(pieces.values())
        scored = [(piece, math.log(count / total)) for piece, count in pieces.items()]
        # So unlikely that no library takes it for a piece of text.
        tokenizer.model = models.Unigram([("<unk>", -100.0), *scored], unk_id=0)
        tokenizer.add_special_tokens(special)
    else:
        tokenizer.decoder = decoders.WordPiece()
        pieces = common_pieces(tokenizer, corpus, 200)
        known = ["[UNK]", *pieces, *(f"##{piece}" for piece in pieces)]
        vocabulary = {piece: number for number, piece in enumerate(known)}
        tokenizer.model = models.WordPiece(vocabulary, unk_token="[UNK]")
        tokenizer.add_special_tokens(special)
    return tokenizer


def save(folder, kind, own, corpus):
    """The folder of a base model, without its weights."""
    _, stop, others, _ = OWN[own]
    control = ["<|pad|>", stop, *others.split()]
    tokenizer = trained(kind, control, corpus)
    begin = "<|bos|>" if "<|bos|>" in control else None
    if begin is not None:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{begin} $A", special_tokens=[(begin, tokenizer.token_to_id(begin))]
        )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=stop,
        bos_token=begin,
        pad_token="<|pad|>",
        unk_token={"unigram": "<unk>", "sentencepiece": "<unk>", "wordpiece": "[UNK]"}.get(kind),
        additional_special_tokens=control,
    )
    fast.chat_template = TEXTS[own] if own in TEXTS else (ORIGINALS / own).read_text("utf-8")
    fast.save_pretrained(folder)
    config = {"architectures": ["LlamaForCausalLM"], "eos_token_id": fast.eos_token_id}
    (folder / "config.json").write_text(
        json.dumps(config | {"model_type": "llama", "max_position_embeddings": CONTEXT})
    )


def rendered(renderer, row):
    try:
        samples = renderer.render(row)
    except TrainingError as error:
        return {"error": error.code}
    return {"samples": [[sample.ids, sample.labels] for sample in samples]}


def fitted(renderer, rows, context):
    """What training keeps of the rows, for each way to limit them."""
    samples = []
    for row in rows:
        try:
            samples += renderer.render(row)
        except TrainingError:
            continue
    results = []
    for wanted in (None, 20, 60, 50000):
        for overlong in ("drop", "truncate"):
            story = Story(Recorder())
            settings = replace(SETTINGS, max_seq_length=wanted, overlong=overlong)
            limit = decide_limit(settings, samples, context, story)
            kept = fitting(samples, limit, overlong, "rows", story)
            tokens = sum(len(sample.ids) for sample in kept)
            trained = sum(sample.trained for sample in kept)
            results.append([wanted, overlong, limit, len(kept), tokens, trained])
    return results


def main():
    root = Path(sys.argv[1])
    rows = [canonical_row(json.loads(line)) for line in sys.stdin]
    rows += [canonical_row(row) for row in {**CHATS, **CALLS}.values()]
    (root / "rows.json").write_text(json.dumps(rows))
    texts = [m["content"] for row in rows for m in row.get("messages", [])]
    corpus = [*texts, "system user assistant model tool developer ipython", *map(json.dumps, rows)]
    for number, own in enumerate(OWN):
        # Byte-level tokenizers with every template, the others in turn.
        kinds = list(KINDS)
        for kind in [kinds[number % 3], kinds[3 + number % 3]]:
            folder = root / f"{own.removesuffix('.jinja')}, {kind}"
            save(folder, kind, own, corpus)
            settings = replace(SETTINGS, model=str(folder), model_path=str(folder))
            tokenizer = load_tokenizer(settings, str(folder), Story(Recorder()))
            renderer = Renderer(tokenizer, frozenset([tokenizer.eos_token_id]))
            family = renderer.chat.family
            result = {
                "name": folder.name,
                "family": family.name if family else None,
                "rows": [rendered(renderer, row) for row in rows],
                "fitted": fitted(renderer, rows, CONTEXT),
            }
            print(json.dumps(result), flush=True)


main()
