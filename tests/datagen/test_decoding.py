"""The decoding loop's attention and batches against plain formulas and transformers' sdpa."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from transformers import LlamaForCausalLM

from datagen.engines.decoding import grouped_attention, prefill
from tests.datagen.tiny_llama import VOCAB_SIZE, _one_thread, model, sdpa_model

__all__ = ["_one_thread", "model", "sdpa_model"]


@given(
    rows=st.integers(1, 5),
    kv_heads=st.integers(1, 3),
    group=st.integers(1, 4),
    length=st.integers(1, 17),
    seed=st.integers(0, 2**16),
)
def test_grouped_attention_equals_the_plain_formula(
    rows: int, kv_heads: int, group: int, length: int, seed: int
) -> None:
    width, scaling = 8, 0.3
    rng = torch.Generator().manual_seed(seed)
    query = torch.randn(rows, kv_heads * group, 1, width, generator=rng)
    key = torch.randn(rows, kv_heads, length, width, generator=rng)
    value = torch.randn(rows, kv_heads, length, width, generator=rng)
    mask = torch.rand(rows, 1, 1, length, generator=rng) < 0.7
    mask[..., -1] = True
    module = torch.nn.Module()
    attended, _ = grouped_attention(module, query, key, value, mask, scaling=scaling, dropout=0.0)
    expected = _plain_attention(query, key, value, mask, scaling)
    torch.testing.assert_close(attended.double(), expected, rtol=1e-5, atol=1e-6)


def _plain_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float
) -> Tensor:
    """softmax(q k^T * scaling + mask) v in float64, every key head repeated; (B, T, H, D)."""
    group = query.shape[1] // key.shape[1]
    keys = key.double().repeat_interleave(group, dim=1)
    values = value.double().repeat_interleave(group, dim=1)
    scores = (query.double() @ keys.transpose(2, 3) * scaling).masked_fill(~mask, -math.inf)
    return (torch.softmax(scores, dim=-1) @ values).transpose(1, 2)


@pytest.mark.parametrize("shared", [[], [9, 8, 7]], ids=["nothing shared", "shared beginning"])
def test_batched_logits_equal_sdpa_on_each_row_alone(
    model: LlamaForCausalLM, sdpa_model: LlamaForCausalLM, shared: list[int]
) -> None:
    rng = np.random.default_rng(3)
    num_steps = 6
    contexts = [[*shared, *rng.integers(0, VOCAB_SIZE, n).tolist()] for n in (1, 4, 11, 4)]
    ids_BT = torch.from_numpy(rng.integers(0, VOCAB_SIZE, (len(contexts), num_steps)))
    kept = [3, 0, 2]
    with torch.inference_mode():
        batch, logits_BV = prefill(model, contexts, num_steps + 1)
        for step in range(num_steps):
            _assert_each_row_alone(sdpa_model, contexts, ids_BT[:, :step], logits_BV)
            if step == 3:
                batch.keep(torch.tensor(kept))
                contexts, ids_BT = [contexts[row] for row in kept], ids_BT[kept]
            logits_BV = batch.step(ids_BT[:, step])
        _assert_each_row_alone(sdpa_model, contexts, ids_BT, logits_BV)


def _assert_each_row_alone(
    model: LlamaForCausalLM, contexts: Sequence[list[int]], ids_BT: Tensor, logits_BV: Tensor
) -> None:
    assert logits_BV.dtype == torch.float32
    for context, ids, logits_V in zip(contexts, ids_BT.tolist(), logits_BV, strict=True):
        alone_V = model(torch.tensor([context + ids])).logits[0, -1]
        torch.testing.assert_close(logits_V, alone_V, rtol=1e-4, atol=1e-4)
