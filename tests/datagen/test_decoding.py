"""The decoding loop's attention and rows against plain formulas and transformers' sdpa."""

import copy
import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    BloomConfig,
    DeepseekV2Config,
    Gemma2Config,
    GPTNeoConfig,
    GptOssConfig,
    Lfm2Config,
    LlamaForCausalLM,
    MistralConfig,
    OPTConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen3Config,
    RwkvConfig,
    XGLMConfig,
)
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from datagen.engines.decoding import ATTENTION, Batch, grouped_attention
from datagen.engines.decoding_check import check_decoding, check_family
from datagen.errors import EngineError
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
def test_rows_that_come_and_go_have_the_logits_of_sdpa_on_each_row_alone(
    model: LlamaForCausalLM, sdpa_model: LlamaForCausalLM, shared: list[int]
) -> None:
    _assert_rows_come_and_go(model, sdpa_model, shared)


_SIZES: dict[str, Any] = {
    "vocab_size": VOCAB_SIZE,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}
_NARROW: dict[str, Any] = {
    **_SIZES,
    "intermediate_size": 48,
    "num_key_value_heads": 2,
    "head_dim": 8,
}


_LATENT: dict[str, Any] = {
    "kv_lora_rank": 16,
    "q_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 4,
    "v_head_dim": 10,
}
_WIDE: dict[str, Any] = {**_SIZES, "d_model": 32, "attention_heads": 4, "num_layers": 2}
_WINDOW = ["full_attention", "sliding_attention"]


@pytest.mark.parametrize(
    "config",
    [
        OPTConfig(**_SIZES, ffn_dim=48, word_embed_proj_dim=32),
        MistralConfig(**_NARROW, sliding_window=5),
        Qwen3Config(**_NARROW, use_sliding_window=True, sliding_window=5, max_window_layers=1),
        Gemma2Config(**_NARROW, sliding_window=5, attn_logit_softcapping=0.5),
        GptOssConfig(**_NARROW, sliding_window=5, layer_types=_WINDOW, num_local_experts=4),
        DeepseekV2Config(**_SIZES, **_LATENT, intermediate_size=48, first_k_dense_replace=2),
    ],
    ids=[
        "learned positions",
        "every layer sees a window",
        "one of two layers sees a window",
        "scores are capped",
        "attention has sinks",
        "values are wider than keys",
    ],
)
def test_other_models_too(config: PreTrainedConfig) -> None:
    model, eager_model = _made(config, ATTENTION), _made(config, "eager")
    _assert_rows_come_and_go(model, eager_model, [9, 8, 7])
    check_decoding(model)
    assert model.config._attn_implementation == ATTENTION


def _made(config: PreTrainedConfig, attention: str) -> PreTrainedModel:
    """A model whose weights are wide enough for every part of the attention to matter."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(copy.deepcopy(config))
        for weights in model.parameters():
            torch.nn.init.normal_(weights, std=0.3)
    model.set_attn_implementation(attention)
    model.eval()
    return model


@pytest.mark.parametrize(
    ("config", "found"),
    [
        (XGLMConfig(**_WIDE), r"logits [0-9.]+ apart where the largest is"),
        (BertConfig(**_WIDE, intermediate_size=48, is_decoder=False), r"logits [0-9.]+ apart"),
        (BloomConfig(**_WIDE), "[A-Z][A-Za-z]+Error: "),
    ],
    ids=["positions are not heeded", "no causal model", "a cache of its own"],
)
def test_a_family_that_would_write_from_other_logits_is_refused(
    config: PreTrainedConfig, found: str
) -> None:
    with pytest.raises(EngineError, match=f"teacher's family .*{config.model_type}.*{found}"):
        check_decoding(_made(config, ATTENTION))


@pytest.mark.parametrize(
    ("config", "found"),
    [
        (
            GPTNeoConfig(hidden_size=32, num_layers=2, attention_types=[[["global"], 2]]),
            r"family \(gpt_neo\).* an attention of its own that cannot be exchanged",
        ),
        (RwkvConfig(**_SIZES), r"family \(rwkv\).* a state that is carried along"),
        (Lfm2Config(**_SIZES, layer_types=["conv", "full_attention"]), "found layers of conv"),
    ],
    ids=["an attention of its own", "no attention", "convolutions"],
)
def test_a_family_that_is_not_decoded_in_rows_is_refused_without_its_weights(
    config: PreTrainedConfig, found: str
) -> None:
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    with pytest.raises(EngineError, match=found):
        check_family(model)


def test_a_machine_that_is_too_small_is_not_laid_to_the_family(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def too_much(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    model = _made(MistralConfig(**_NARROW), ATTENTION)
    monkeypatch.setattr(model, "forward", too_much)
    with pytest.raises(torch.OutOfMemoryError):
        check_decoding(model)


def test_a_part_of_the_attention_that_is_left_out_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    config = Gemma2Config(**_NARROW, attn_logit_softcapping=0.5)
    model = _made(config, ATTENTION)

    def uncapped(*tensors: Any, **options: Any) -> tuple[Tensor, None]:
        return grouped_attention(*tensors, **{**options, "softcap": None})

    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS, ATTENTION, uncapped)
    with pytest.raises(EngineError, match=r"logits [0-9.]+ apart"):
        check_decoding(model)


def _assert_rows_come_and_go(
    model: PreTrainedModel, sdpa_model: PreTrainedModel, shared: list[int]
) -> None:
    rng = np.random.default_rng(3)
    contexts = [[*shared, *_some_ids(rng, length)] for length in (1, 4, 11, 4, 1, 2, 17)]
    rows, waiting = contexts[:4], contexts[4:]
    changes = {2: [1], 3: [0, 3]}  # at these steps new contexts take the place of these rows
    with torch.inference_mode():
        batch = Batch(model, contexts, num_rows=len(rows), max_new_tokens=6)
        batch.admit(range(len(rows)), rows)
        fed = [[row[-1]] for row in rows]
        for step in range(6):
            logits_BV = batch.step(torch.tensor([ids[-1] for ids in fed]))
            texts = [row[:-1] + ids for row, ids in zip(rows, fed, strict=True)]
            _assert_each_row_alone(sdpa_model, texts, logits_BV)
            fed = [[*ids, *_some_ids(rng, 1)] for ids in fed]
            if step in changes:
                fresh, waiting = waiting[: len(changes[step])], waiting[len(changes[step]) :]
                batch.admit(changes[step], fresh)
                for row, context in zip(changes[step], fresh, strict=True):
                    rows[row], fed[row] = context, [context[-1]]
            if step == 4:
                kept = [3, 0, 2]
                batch.keep(torch.tensor(kept))
                rows, fed = [rows[row] for row in kept], [fed[row] for row in kept]
    assert not waiting


def _some_ids(rng: np.random.Generator, length: int) -> list[int]:
    return [int(id_) for id_ in rng.integers(0, VOCAB_SIZE, length)]


def test_a_row_that_is_fed_past_its_room_leaves_the_others_alone(
    model: LlamaForCausalLM, sdpa_model: LlamaForCausalLM
) -> None:
    with torch.inference_mode():
        batch = Batch(model, [[1, 2, 3], [4]], num_rows=2, max_new_tokens=4)
        batch.admit([0, 1], [[1, 2, 3], [4]])
        for fed in (4, 5, 6, 7, 8):
            logits_BV = batch.step(torch.tensor([3, fed]))
    _assert_each_row_alone(sdpa_model, [[4, 5, 6, 7, 8]], logits_BV[1:])


def _assert_each_row_alone(
    model: PreTrainedModel, texts: Sequence[list[int]], logits_BV: Tensor
) -> None:
    assert logits_BV.dtype == torch.float32
    for ids, logits_V in zip(texts, logits_BV, strict=True):
        alone_V = cast(Any, model)(torch.tensor([ids])).logits[0, -1]
        torch.testing.assert_close(logits_V, alone_V, rtol=1e-4, atol=1e-4)
