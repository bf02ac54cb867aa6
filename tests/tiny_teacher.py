"""A small real teacher, made on the spot: a two-layer Llama that has learnt to write template-made
stories.

Tests need a model that writes whole stories and says something of each next token, without a
download. Template stories over small word lists are learnt in some ten CPU-seconds: vocabulary 512
(byte-level BPE trained on the same stories), width 64.
"""

import json
import math
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

START, END = "<s>", "</s>"
VOCAB_SIZE = 512
CONTEXT = 512
_NUM_STORIES = 800
_BATCH_SIZE = 16

_NOUNS = (
    "ball bear bed bird boat book box cake car cat chair cow cup dog doll door duck fish flower "
    "frog hat horse house key kite lion moon mouse pig plane rock shoe star stick sun toy train "
    "tree truck water"
).split()
_ADJECTIVES = (
    "bad big blue clean cold dirty fast good happy hot little new nice old pretty red sad slow "
    "soft wet"
).split()
_VERBS = (
    "bounce climb cry dance eat fly hide hug jump kick laugh look play push read ride run sing "
    "sit sleep swim talk walk wash"
).split()
_NAMES = ("Tom", "Lily", "Ben", "Mia", "Sam", "Anna")


def make_story(rng: random.Random) -> str:
    """A story of 30 to 60 words that ends with a full stop; it follows from the generator's state
    alone.
    """
    noun, other = rng.sample(_NOUNS, 2)
    adjective, feeling = rng.sample(_ADJECTIVES, 2)
    verb, second = rng.sample(_VERBS, 2)
    name = rng.choice(_NAMES)
    opening = [
        f"Once upon a time there was a {adjective} {noun}. The {noun} liked to {verb}.",
        f"One day {name} saw a {adjective} {noun}. {name} liked to {verb}.",
        f"Once upon a time there was a {noun}. It was {adjective}. It liked to {verb}.",
    ]
    middle = [
        f"One day the {noun} met a {feeling} {other}.",
        f'"Do you want to {second}?" said the {other}.',
        f'"Yes, I want to {second}," said the {noun}.',
        f"{name} saw the {noun} and the {other}.",
        f"They went to the {rng.choice(_NOUNS)} and looked at it.",
        f"The {other} was {feeling} and the {noun} was {adjective}.",
        f"But the {noun} did not want to {verb}.",
    ]
    ending = [
        f"The {noun} and the {other} were happy.",
        "They were good friends. The end.",
        f"Then {name} went home to sleep.",
    ]
    kept = sorted(rng.sample(range(len(middle)), rng.randint(2, 4)))
    return " ".join([rng.choice(opening), *(middle[i] for i in kept), rng.choice(ending)])


def make_stories(num_stories: int, seed: int) -> list[str]:
    """Stories of one seed; the first n of a longer list are the shorter list."""
    rng = random.Random(seed)
    return [make_story(rng) for _ in range(num_stories)]


def train_tokenizer(texts: Sequence[str], vocab_size: int = VOCAB_SIZE) -> Tokenizer:
    """A byte-level BPE tokenizer: ids 0 and 1 are the start and the end symbol, the start is put
    first by default.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A", special_tokens=[(START, 0)]
    )
    return tokenizer


def make_tiny_teacher(folder: Path, *, seed: int = 0, steps: int = 300) -> None:
    """Writes a transformers folder of a prefix-style teacher: no chat template, starts with bos,
    ends stories with eos.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stories = make_stories(_NUM_STORIES, seed)
    tokenizer = train_tokenizer(stories)
    encoded = [[0, *e.ids, 1] for e in tokenizer.encode_batch(stories, add_special_tokens=False)]
    with torch.random.fork_rng(devices=[]), _one_thread():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(_config())
        _train(model, encoded, seed, steps)
    model.generation_config = GenerationConfig(bos_token_id=0, eos_token_id=1, pad_token_id=1)
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"bos_token": START, "eos_token": END, "pad_token": END}
    settings = {**names, "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": CONTEXT}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")


@contextmanager
def _one_thread() -> Iterator[None]:
    """Matrices this small only lose by threads; and the weights are then the same on any number of
    cores.
    """
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(num_threads)


def _config() -> LlamaConfig:
    return LlamaConfig(
        vocab_size=VOCAB_SIZE,
        hidden_size=64,
        intermediate_size=192,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )


def _train(model: LlamaForCausalLM, encoded: list[list[int]], seed: int, steps: int) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min(1.0, (step + 1) / 20) * (0.5 + 0.5 * math.cos(math.pi * step / steps)),
    )
    model.train()
    for _, ids_BT in zip(range(steps), _batches(encoded, seed), strict=False):
        logits_BTV = model(input_ids=ids_BT[:, :-1].clamp(min=0)).logits
        loss = torch.nn.functional.cross_entropy(
            logits_BTV.flatten(0, 1), ids_BT[:, 1:].flatten(), ignore_index=-100
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    model.eval()


def _batches(encoded: list[list[int]], seed: int) -> Iterator[torch.Tensor]:
    rng = random.Random(seed)
    while True:
        rows = [torch.tensor(ids) for ids in rng.sample(encoded, _BATCH_SIZE)]
        yield torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-100)
