"""A student of the instruct form follows it: trained for seconds after contexts as datagen writes
them, it tells of the words that it is asked for, and of others when it is not asked.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

from datagen.families import load_family
from datagen.instruct import Ask, ask_of, asking_context, instruct_context
from datagen.measures import words_of
from datagen.vocabulary import load_vocabulary
from distill.prefix import has_context, prefix_ids
from distill.sample import Sampling, sample_stories
from distill.train import train
from tests.student_documents import make_document, train_config
from tests.tiny_teacher import train_tokenizer

FAMILY, AGE3 = load_family("story"), load_vocabulary("age3")
VERBS, NOUNS, ADJECTIVES = ("jump", "run", "sing"), ("boat", "cup", "dog"), ("big", "red", "wet")
CHOICES = tuple(product(VERBS, NOUNS, ADJECTIVES))
# Never trained on: a student that only knows whole stories by heart cannot tell them.
HELD_OUT = CHOICES[::5]
GREEDY = Sampling(temperature=0, max_new_tokens=20)
CONFIG = train_config(
    num_tokens=60_000,
    tokens_per_step=400,
    max_batch_tokens=4_000,
    learning_rate=6e-3,
    checkpoint_every_steps=1_000,
)


@dataclass(frozen=True)
class Space:
    """A byte-level BPE tokenizer as a token space."""

    tokenizer: Tokenizer
    start_id: int = 0
    end_id: int = 1

    def encode(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(ids)))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _text(verb: str, noun: str, adjective: str) -> str:
    return f"The {adjective} {noun} can {verb}."


def _ask(verb: str, noun: str, adjective: str) -> Ask:
    values = {"verb": (verb,), "noun": (noun,), "adjective": (adjective,), "features": ()}
    return ask_of(FAMILY, values, None, AGE3)


def _student(vocab_size: int) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=256,
        bos_token_id=0,
        eos_token_id=1,
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return LlamaForCausalLM(config)


def test_a_student_tells_of_what_it_is_asked_for(tmp_path: Path) -> None:
    told = [
        (choice, f"{choice} {copy}")
        for choice in CHOICES
        if choice not in HELD_OUT
        for copy in range(12)
    ]
    contexts = [
        instruct_context(_ask(*choice), _text(*choice), key) if has_context(key, 0.8) else None
        for choice, key in told
    ]
    assert None in contexts
    texts = [_text(*choice) for choice, _ in told]
    space = Space(train_tokenizer([*(context or "" for context in contexts), *texts]))
    documents = []
    for (_, key), context, text in zip(told, contexts, texts, strict=True):
        ids = [*space.encode(text), space.end_id]
        draws: list[list[int]] = [[] for _ in ids]
        documents.append(make_document(key, prefix_ids(space, context).tolist(), ids, draws))
    model = _student(space.tokenizer.get_vocab_size())
    train(CONFIG, model, documents, tmp_path, seed=1, alpha=0)

    def hits(asks: Sequence[Ask]) -> float:
        """Share of the held-out words that stand in the stories that are told for them."""
        contexts = [asking_context(ask) for ask in asks]
        stories = sample_stories(model, space, contexts, seed=1, sampling=GREEDY)
        pairs = zip(HELD_OUT, stories, strict=True)
        found = [word in words_of(story.text) for words, story in pairs for word in words]
        return sum(found) / len(found)

    assert hits([Ask(words) for words in HELD_OUT]) > 0.8
    assert hits([Ask(summary=_ask(*words).summary) for words in HELD_OUT]) > 0.8
    # By chance one in three.
    assert hits([Ask()] * len(HELD_OUT)) < 0.5
