"""Nats of documents against brute force in float64, a closed form, and every way of batching."""

import copy
import dataclasses
import math

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from distill.errors import DistillError
from distill.evaluation.intervals import bits_per_byte_point
from distill.evaluation.scoring import DocumentScore, ScoreRequest, score_documents

VOCAB_SIZE = 37
END_IDS = (5, 2)
ROUNDING = 5e-6
"""Nats per symbol: logits reach 8.3, where float32 rounds by 4.8e-7, some ten roundings deep."""


def tiny_llama() -> LlamaForCausalLM:
    """Two layers of random weights, large enough that its distributions are far from uniform."""
    config = LlamaConfig(
        vocab_size=VOCAB_SIZE,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
        initializer_range=0.5,
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model: LlamaForCausalLM = LlamaForCausalLM(config)
    model.train(False)
    return model


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    return tiny_llama()


@pytest.fixture(scope="module")
def documents() -> list[ScoreRequest]:
    """Twelve documents of 0 to 40 symbols after contexts of 1 to 4 ids; some lengths recur."""
    rng = np.random.default_rng(1)
    lengths = [0, 1, 7, 7, 12, 3, 40, 25, 12, 12, 18, 2]
    return [
        ScoreRequest(
            doc_id=f"doc-{index}",
            start_ids=rng.integers(6, VOCAB_SIZE, size=1 + index % 4).astype(np.int32),
            symbol_ids=rng.integers(6, VOCAB_SIZE, size=length).astype(np.int32),
            num_bytes=3 * length + 1,
        )
        for index, length in enumerate(lengths)
    ]


def brute_force(model: LlamaForCausalLM, document: ScoreRequest) -> tuple[list[float], list[int]]:
    """Nats and likeliest event at each symbol and the end, by one unpadded float64 pass and plain
    loops.
    """
    ids = [*document.start_ids.tolist(), *document.symbol_ids.tolist()]
    with torch.no_grad():
        rows = copy.deepcopy(model).double()(torch.tensor([ids])).logits[0].softmax(dim=-1)
    nats, top1 = [], []
    labels = [*document.symbol_ids.tolist(), END_IDS[0]]
    for row, label in zip(rows[len(document.start_ids) - 1 :].tolist(), labels, strict=True):
        events = {index: p for index, p in enumerate(row) if index not in END_IDS}
        events[END_IDS[0]] = sum(row[index] for index in END_IDS)
        nats.append(-math.log(events[label]))
        top1.append(max(events, key=events.__getitem__))
    return nats, top1


def score(
    model: LlamaForCausalLM, documents: list[ScoreRequest], num_tokens_per_batch: int = 100
) -> list[DocumentScore]:
    return score_documents(
        model,
        documents,
        end_ids=END_IDS,
        num_tokens_per_batch=num_tokens_per_batch,
        want_top1=True,
    )


def test_scores_equal_brute_force_in_float64(
    model: LlamaForCausalLM, documents: list[ScoreRequest]
) -> None:
    for document, found in zip(
        documents, score(copy.deepcopy(model).double(), documents), strict=True
    ):
        nats, top1 = brute_force(model, document)
        assert found.doc_id == document.doc_id
        assert found.nats == pytest.approx(math.fsum(nats), rel=1e-12)
        assert found.nats_without_end == pytest.approx(math.fsum(nats[:-1]), rel=1e-12)
        assert found.num_tokens == len(nats)
        assert found.num_bytes == document.num_bytes
        assert found.top1_ids is not None
        assert found.top1_ids.tolist() == top1


def test_float32_scores_stay_within_rounding_of_float64(
    model: LlamaForCausalLM, documents: list[ScoreRequest]
) -> None:
    exact = score(copy.deepcopy(model).double(), documents)
    for found, reference in zip(score(model, documents), exact, strict=True):
        assert abs(found.nats - reference.nats) <= ROUNDING * found.num_tokens


def test_batch_size_moves_scores_by_rounding_only(
    model: LlamaForCausalLM, documents: list[ScoreRequest]
) -> None:
    alone, together = score(model, documents, 1), score(model, documents, 10_000)
    for one, other in zip(alone, together, strict=True):
        assert abs(one.nats - other.nats) <= 2 * ROUNDING * one.num_tokens


def test_order_of_documents_changes_no_bit(
    model: LlamaForCausalLM, documents: list[ScoreRequest]
) -> None:
    forward, backward = score(model, documents), score(model, documents[::-1])
    for one, other in zip(forward, backward[::-1], strict=True):
        assert dataclasses.replace(one, top1_ids=None) == dataclasses.replace(other, top1_ids=None)


def test_uniform_model_takes_log2_v_bits_per_symbol(documents: list[ScoreRequest]) -> None:
    flat = tiny_llama()
    with torch.no_grad():
        flat.lm_head.weight.zero_()
    scores = score_documents(flat, documents, end_ids=[5], num_tokens_per_batch=100)
    num_bytes = sum(document.num_bytes for document in documents)
    num_tokens = sum(len(document.symbol_ids) + 1 for document in documents)
    found = bits_per_byte_point([item.nats for item in scores], [item.num_bytes for item in scores])
    assert found == pytest.approx(math.log2(VOCAB_SIZE) * num_tokens / num_bytes, rel=1e-12)
    assert all(item.top1_ids is None for item in scores)


def test_two_end_ids_of_a_uniform_model_make_one_event_of_twice_the_mass() -> None:
    flat = tiny_llama()
    with torch.no_grad():
        flat.lm_head.weight.zero_()
    request = ScoreRequest("d", np.array([1], np.int32), np.array([7, 8], np.int32), 2)
    (found,) = score(flat, [request])
    assert found.nats - found.nats_without_end == pytest.approx(math.log(VOCAB_SIZE / 2))
    assert found.top1_ids is not None
    assert found.top1_ids.tolist() == [END_IDS[0]] * 3


def test_scoring_restores_the_training_mode(
    documents: list[ScoreRequest],
) -> None:
    model = tiny_llama().train()
    score(model, documents[:1])
    assert model.training


def refused(changes: dict[str, object]) -> ScoreRequest:
    ids = np.array([7, 8], np.int32)
    return dataclasses.replace(ScoreRequest("d", ids, ids, 2), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start_ids": np.array([], np.int32)}, "document d: expected a start symbol"),
        (
            {"symbol_ids": np.array([7, 2], np.int32)},
            "document d: expected symbols without the end",
        ),
        ({"num_bytes": 0}, "document d: expected at least 1 byte"),
        ({"start_ids": np.full(64, 7, np.int32)}, "context of fewer than 64 ids .* found 64"),
    ],
)
def test_a_document_that_cannot_be_scored_is_named(
    model: LlamaForCausalLM, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(DistillError, match=message):
        score(model, [refused(changes)])


def test_a_document_given_twice_is_refused(
    model: LlamaForCausalLM, documents: list[ScoreRequest]
) -> None:
    with pytest.raises(DistillError, match="found a doc_id twice"):
        score(model, [documents[0], documents[0]])
