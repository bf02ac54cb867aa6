"""An encoder that transformers loads as a causal model is told from one that is causal."""

import pytest
import torch
from transformers import BertConfig, BertLMHeadModel, GPT2Config, GPT2LMHeadModel

from distill.errors import DistillError
from distill.evaluation.causality import check_causal


def bert(*, is_decoder: bool) -> BertLMHeadModel:
    config = BertConfig(
        vocab_size=40,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        is_decoder=is_decoder,
        initializer_range=0.3,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model: BertLMHeadModel = BertLMHeadModel(config)
    model.train(False)
    return model


def test_causal_models_pass() -> None:
    config = GPT2Config(vocab_size=9, n_embd=16, n_layer=1, n_head=2, n_positions=32)
    check_causal(GPT2LMHeadModel(config).eval(), "small")
    check_causal(bert(is_decoder=True), "decoder")


def test_an_encoder_is_refused() -> None:
    with pytest.raises(DistillError, match="model mine: expected a causal language model"):
        check_causal(bert(is_decoder=False), "mine")


def test_a_model_that_cannot_read_is_refused() -> None:
    model = bert(is_decoder=True)
    del model.bert.encoder
    with pytest.raises(DistillError, match="model mine: expected one that reads ids"):
        check_causal(model, "mine")


def test_a_model_that_gives_no_numbers_is_refused() -> None:
    model = bert(is_decoder=True)
    with torch.no_grad():
        next(model.parameters()).fill_(torch.nan)
    with pytest.raises(DistillError, match="expected a causal"):
        check_causal(model, "mine")
