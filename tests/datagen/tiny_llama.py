"""A Llama of random weights with grouped attention, for tests of the engine and its decoding."""

import copy
from collections.abc import Iterator

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from datagen.engines.decoding import ATTENTION

VOCAB_SIZE = 96


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Matrices this small only lose by threads."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)


def random_llama(vocab_size: int, num_positions: int, spread: float) -> LlamaForCausalLM:
    """Four heads over two key heads; weights of that standard deviation, the same each time."""
    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=num_positions,
        initializer_range=spread,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = LlamaForCausalLM(config)
    made.eval()
    return made


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    """Weights wide enough that no two ids are nearly as likely."""
    made = random_llama(VOCAB_SIZE, num_positions=128, spread=0.3)
    made.set_attn_implementation(ATTENTION)
    return made


@pytest.fixture(scope="module")
def sdpa_model(model: LlamaForCausalLM) -> LlamaForCausalLM:
    """The same weights with transformers' own attention."""
    other = copy.deepcopy(model)
    other.set_attn_implementation("sdpa")
    return other
