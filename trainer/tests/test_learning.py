"""What is learned does not depend on how sequences go through the device.

A real Llama, small; sequences of mixed lengths up to the limit, answers anywhere in them. Each way
is compared with the plainest: every sequence alone, every token's loss summed by hand.
"""

import dataclasses
import random

import pytest
import torch
from datasets import Dataset
from support import Recorder
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, TrainerCallback
from trl import SFTConfig, SFTTrainer

from moxi_train.finetune.batches import Batches
from moxi_train.finetune.callbacks import Stop
from moxi_train.finetune.config import Settings
from moxi_train.finetune.data import IGNORED, Sample
from moxi_train.finetune.events import Story
from moxi_train.finetune.model import Machine
from moxi_train.finetune.train import Trainer

VOCABULARY = 48
END = 1  # the end of a turn, and of padding too: nothing may mistake one for the other
LIMIT = 64
STEP = 16  # sequences; the last step of the epoch is shorter


def samples(count=22):
    draw = random.Random(3)
    made = []
    for index in range(count):
        length = LIMIT if index % 5 == 0 else draw.randint(2, LIMIT)
        ids = [draw.randrange(2, VOCABULARY) for _ in range(length)]
        labels = [IGNORED] * length
        start = draw.randrange(1, length)
        for at in range(start, length):
            if at % 9 < 6 or at == length - 1:
                labels[at] = ids[at]
        ids[-1] = labels[-1] = END
        made.append(Sample(ids, labels))
    made[3].labels[0] = made[3].ids[0]  # the first of a sequence: nothing predicts it
    return made


def tokenizer():
    from tokenizers import Tokenizer, models

    vocabulary = {f"t{index}": index for index in range(VOCABULARY)}
    fast = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel(vocabulary, "t0")))
    fast.eos_token = fast.pad_token = f"t{END}"
    return fast


def llama(attention):
    torch.manual_seed(5)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        eos_token_id=END,
        pad_token_id=END,
        initializer_range=0.2,  # far from uniform, so that what a token sees matters
    )
    return LlamaForCausalLM._from_config(config, attn_implementation=attention)


class Gradients(TrainerCallback):
    """Keeps the gradients of every optimizer step."""

    def __init__(self):
        self.steps = []

    def on_pre_optimizer_step(self, args, state, control, model=None, **_):
        grown = {name: each.grad.clone() for name, each in model.named_parameters()}
        self.steps.append(grown)


def trainer(tmp_path, batches, attention="sdpa", held_out=(), **other):
    recorder = Recorder()
    settings = Settings("m", "full", 1, STEP, 1e-9, 4, 7, max_grad_norm=1e9)
    settings = dataclasses.replace(settings, **other)
    made = Trainer(
        model=llama(attention),
        tokenizer=tokenizer(),
        settings=settings,
        machine=Machine("cpu", 1, 0),
        batches=batches,
        train=samples(),
        held_out=held_out,
        checkpoints=tmp_path / "checkpoints",
        story=Story(recorder),
        stop=Stop(),
        begin=lambda trainer: None,
        sample=lambda step: None,
    )
    return made, recorder


def learned(tmp_path, batches, attention="sdpa"):
    """(each step's event, each step's gradients) of an epoch."""
    made, recorder = trainer(tmp_path, batches, attention)
    gradients = Gradients()
    made.add_callback(gradients)
    made.start(None)
    return recorder.of("step"), gradients.steps


def by_hand(chosen, attention="sdpa"):
    """(mean loss of the trained tokens, gradients): each sequence alone, each token by itself."""
    model = llama(attention)
    total, tokens = torch.zeros(()), 0
    for sample in chosen:
        logits = model(input_ids=torch.tensor([sample.ids])).logits[0]
        for at, label in enumerate(sample.labels):
            if at and label != IGNORED:
                total = total - logits[at - 1].log_softmax(-1)[label]
                tokens += 1
    loss = total / tokens
    loss.backward()
    return loss.item(), {name: each.grad for name, each in model.named_parameters()}, tokens


WAYS = {
    "alone": Batches(1, 16, None, False, 1),
    "a big batch": Batches(16, 1, None, False, 1),
    "4 by 4": Batches(4, 4, None, False, 1),
    "with checkpointing": Batches(4, 4, None, True, 1),
}
PACKED = {
    "packed to the limit": Batches(1, 16, LIMIT, False, 1),
    "packed to more": Batches(1, 16, 3 * LIMIT, False, 1),
    "packed, two a pass": Batches(2, 8, LIMIT + 7, False, 1),
}


def assert_alike(gradients, others):
    largest = max(each.abs().max() for each in others.values())
    assert gradients.keys() == others.keys()
    for name, gradient in gradients.items():
        assert (gradient - others[name]).abs().max() < 1e-5 * largest, name


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_batch_has_the_loss_and_gradient_of_tokens_by_hand(tmp_path, way, attention):
    steps, gradients = learned(tmp_path, WAYS[way], attention)
    assert len(steps) == 2  # 16 sequences, then the other 6
    made, _ = trainer(tmp_path / "order", WAYS["alone"])
    order = [samples()[index] for index in made._get_train_sampler()]
    for step, gradient, chosen in zip(steps, gradients, (order[:16], order[16:]), strict=True):
        loss, expected, _ = by_hand(chosen, attention)
        assert step["loss"] == pytest.approx(loss, abs=1e-5)
        assert_alike(gradient, expected)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("way", PACKED)
def test_packed_sequences_do_not_see_each_other(tmp_path, way, attention):
    """All sequences in one step, whatever the packs: the gradient of each alone, and its loss."""
    batches = PACKED[way]
    packs = -(-len(trainer(tmp_path / "count", batches)[0].train_dataset) // batches.micro)
    whole = Batches(batches.micro, packs, batches.pack, False, 1)
    (step,), (gradient,) = learned(tmp_path, whole, attention)
    loss, expected, tokens = by_hand(samples(), attention)
    assert packs * batches.micro < len(samples())
    assert step["loss"] == pytest.approx(loss, abs=1e-5)
    assert step["tokens"] == sum(len(each.ids) for each in samples())
    assert tokens == sum(each.trained for each in samples())
    assert_alike(gradient, expected)


def test_sequences_that_do_see_each_other_would_be_noticed():
    """Without positions that start anew, a pack is one long text: the proof above can fail."""
    model = llama("sdpa")
    first, second = samples()[0], samples()[5]
    alone = model(input_ids=torch.tensor([second.ids])).logits[0]
    ids = torch.tensor([first.ids + second.ids])
    positions = torch.tensor([[*range(len(first.ids)), *range(len(second.ids))]])
    apart = model(input_ids=ids, position_ids=positions, use_cache=False).logits[0]
    mixed = model(input_ids=ids, use_cache=False).logits[0]
    assert (apart[len(first.ids) :] - alone).abs().max() < 1e-4
    assert (mixed[len(first.ids) :] - alone).abs().max() > 1e-2


@pytest.mark.parametrize("way", WAYS | PACKED)
def test_held_out_rows_are_scored_alike_whatever_is_packed(tmp_path, way):
    made, recorder = trainer(tmp_path, (WAYS | PACKED)[way], held_out=samples(9))
    made.evaluate()
    loss, _, tokens = by_hand(samples(9))
    (told,) = recorder.of("eval")
    assert told["loss"] == pytest.approx(loss, abs=1e-5)
    assert (told["rows"], told["tokens"]) == (9, tokens)


@pytest.mark.parametrize("way", WAYS | PACKED)
def test_no_batch_forgets_the_end_of_a_turn_or_trains_padding(tmp_path, way):
    """The token that ends a turn pads too, and is trained exactly where it ends one."""
    made, _ = trainer(tmp_path, (WAYS | PACKED)[way])
    ends = trained = 0
    for batch in made.get_train_dataloader():
        labels = batch["labels"]
        ends += int((labels == END).sum())
        trained += int((labels[:, 1:] != IGNORED).sum())
        assert (batch["input_ids"][labels != IGNORED] == labels[labels != IGNORED]).all()
    assert ends == len(samples())
    assert trained == sum(each.trained for each in samples())


class Played:
    """A sampler that plays epochs in an order that another has made."""

    def __init__(self, orders):
        self._orders = iter(orders)

    def __len__(self):
        return len(samples())

    def __iter__(self):
        return iter(next(self._orders))


def plain_trl(tmp_path):
    """(every step's loss, the weights, each epoch's order) of TRL's trainer with its defaults."""
    rows = {"input_ids": [each.ids for each in samples()]}
    rows["labels"] = [each.labels for each in samples()]
    plain = SFTTrainer(
        model=llama("sdpa"),
        processing_class=tokenizer(),
        args=SFTConfig(
            output_dir=str(tmp_path / "plain"),
            num_train_epochs=3,
            per_device_train_batch_size=4,
            learning_rate=1e-3,
            use_cpu=True,
            bf16=False,
            activation_checkpointing=False,
            dataset_kwargs={"skip_prepare_dataset": True},
            max_length=None,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_dict(rows),
    )
    inner, orders = plain._get_train_sampler(), []

    class Recorded(Played):
        def __iter__(self):
            orders.append(list(inner))
            return iter(orders[-1])

    plain._get_train_sampler = lambda *_: Recorded(())
    plain.train()
    losses = [entry["loss"] for entry in plain.state.log_history if "loss" in entry]
    return losses, plain.model.state_dict(), orders


def test_in_its_order_and_with_its_schedule_we_learn_what_plain_trl_learns(tmp_path):
    """Step by step: nothing but the order of rows and the schedule sets the two apart."""
    losses, weights, orders = plain_trl(tmp_path)
    settings = {"epochs": 3, "effective_batch": 4, "learning_rate": 1e-3, "max_grad_norm": 1.0}
    settings |= {"schedule": "linear", "warmup": 0.0}
    ours, recorder = trainer(tmp_path, Batches(2, 2, None, False, 1), **settings)
    ours._get_train_sampler = lambda *_: Played(orders)
    ours.start(None)
    assert len(losses) == 18
    assert losses[-1] < 0.98 * losses[0]
    assert [step["loss"] for step in recorder.of("step")] == pytest.approx(losses, abs=1e-5)
    for name, weight in ours.model.state_dict().items():
        assert (weight - weights[name]).abs().max() < 1e-5, name
