"""Bins of confidence against plain float64 loops over logits that are known, for every way of
batching; the calibration error of models that tell what they were built to.
"""

import bisect
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM

from distill.errors import DistillError
from distill.evaluation.reliability import (
    NUM_BINS,
    Reliability,
    calibration_error,
    reliability,
    reliability_diagram,
)
from distill.evaluation.scoring import DocumentScore, ScoreRequest, score_documents

Floats = npt.NDArray[np.float64]
VOCAB_SIZE = 64  # 1 / 64 and its root are exact, so the model below gives its table's own bits
START, END_IDS = 0, (5, 2)
SYMBOLS = [index for index in range(VOCAB_SIZE) if index not in END_IDS]
EDGES = [place / NUM_BINS for place in range(NUM_BINS + 1)]


def bigram_llama(table_VV: Floats) -> LlamaForCausalLM:
    """A one-layer model in float64 whose logits after id i are row i of the table: its layer adds
    nothing, its embedding is one-hot.
    """
    config = LlamaConfig(
        vocab_size=VOCAB_SIZE,
        hidden_size=VOCAB_SIZE,
        intermediate_size=2,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=128,
        rms_norm_eps=0.0,
        tie_word_embeddings=False,
    )
    model: LlamaForCausalLM = LlamaForCausalLM(config).double()
    layer = model.model.layers[0]
    with torch.no_grad():
        for weight in (layer.self_attn.o_proj.weight, layer.mlp.down_proj.weight):
            weight.zero_()
        model.model.embed_tokens.weight.copy_(torch.eye(VOCAB_SIZE))
        model.lm_head.weight.copy_(torch.from_numpy(table_VV.T / math.sqrt(VOCAB_SIZE)))
    model.train(False)
    return model


def some_table(rng: np.random.Generator, kind: str) -> Floats:
    """Logits of VOCAB_SIZE rows: of every sharpness, with ties, or sure of one id each."""
    shape = (VOCAB_SIZE, VOCAB_SIZE)
    if kind == "ties":
        return rng.integers(-2, 3, size=shape).astype(np.float64)
    if kind == "one-hot":
        return np.where(np.arange(VOCAB_SIZE) == rng.integers(0, VOCAB_SIZE, (shape[0], 1)), 1e3, 0)
    return np.asarray(rng.normal(size=shape) * rng.gamma(2, 2, size=(shape[0], 1)))


def some_documents(rng: np.random.Generator, num_documents: int) -> list[ScoreRequest]:
    return [
        ScoreRequest(
            doc_id=f"doc-{index}",
            start_ids=np.array([START] * rng.integers(1, 4), np.int32),
            symbol_ids=rng.choice(SYMBOLS, size=rng.integers(0, 30)).astype(np.int32),
            num_bytes=7,
        )
        for index in range(num_documents)
    ]


def told_documents(
    table_VV: Floats, rng: np.random.Generator, num_documents: int
) -> list[ScoreRequest]:
    """Documents that the bigram model itself tells, so that it is calibrated on them."""
    weights_VV = np.exp(table_VV - table_VV.max(axis=1, keepdims=True))
    probabilities_VV = weights_VV / weights_VV.sum(axis=1, keepdims=True)
    documents = []
    for index in range(num_documents):
        ids = [START]
        while ids[-1] not in END_IDS and len(ids) < 120:
            ids.append(int(rng.choice(VOCAB_SIZE, p=probabilities_VV[ids[-1]])))
        symbols = np.array(ids[1:-1], np.int32)
        documents.append(ScoreRequest(f"doc-{index}", np.array([START], np.int32), symbols, 7))
    return documents


def score(
    model: LlamaForCausalLM, documents: Sequence[ScoreRequest], num_tokens_per_batch: int = 200
) -> list[DocumentScore]:
    return score_documents(
        model,
        documents,
        end_ids=END_IDS,
        num_tokens_per_batch=num_tokens_per_batch,
        want_top1=True,
    )


def bins_of(scores: Sequence[DocumentScore]) -> list[Reliability]:
    bins = [item.reliability for item in scores if item.reliability is not None]
    assert len(bins) == len(scores)
    return bins


def slow_bins(table_VV: Floats, document: ScoreRequest) -> tuple[list[int], list[int], list[float]]:
    """A document's bins by plain loops, each event's probability summed exactly."""
    num_tokens, num_right, sums = [0] * NUM_BINS, [0] * NUM_BINS, [0.0] * NUM_BINS
    contexts = [int(document.start_ids[-1]), *document.symbol_ids.tolist()]
    labels = [*document.symbol_ids.tolist(), END_IDS[0]]
    for context, label in zip(contexts, labels, strict=True):
        row = table_VV[context].tolist()
        weights = [math.exp(z - max(row)) for z in row]
        events = {index: w for index, w in enumerate(weights) if index not in END_IDS}
        events[END_IDS[0]] = math.fsum(weights[index] for index in END_IDS)
        likeliest = min(events, key=lambda index: (-events[index], index))
        probability = events[likeliest] / math.fsum(weights)
        place = min(bisect.bisect_right(EDGES, probability) - 1, NUM_BINS - 1)
        num_tokens[place] += 1
        num_right[place] += likeliest == label
        sums[place] += probability
    return num_tokens, num_right, sums


@pytest.mark.parametrize("kind", ["random", "ties", "one-hot"])
@pytest.mark.parametrize("seed", range(4))
def test_bins_equal_plain_loops_over_the_logits(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    table_VV = some_table(rng, kind)
    documents = [*some_documents(rng, 12), *told_documents(table_VV, rng, 3)]
    renamed = [
        ScoreRequest(str(place), item.start_ids, item.symbol_ids, item.num_bytes)
        for place, item in enumerate(documents)
    ]
    model = bigram_llama(table_VV)
    for document, found in zip(renamed, bins_of(score(model, renamed)), strict=True):
        num_tokens, num_right, sums = slow_bins(table_VV, document)
        assert list(found.num_tokens) == num_tokens
        assert list(found.num_right) == num_right
        assert list(found.confidence_sum) == pytest.approx(sums, rel=1e-12, abs=1e-12)


def test_an_event_of_all_end_ids_can_be_the_likeliest_and_the_right_one() -> None:
    """Neither end id alone is the likeliest, both together are: 0.3 + 0.3 against 0.4."""
    table_VV = np.full((VOCAB_SIZE, VOCAB_SIZE), -1e3)
    table_VV[:, END_IDS[0]] = table_VV[:, END_IDS[1]] = math.log(0.3)
    table_VV[:, 7] = math.log(0.4)
    document = ScoreRequest("d", np.array([START], np.int32), np.array([7], np.int32), 1)
    (found,) = bins_of(score(bigram_llama(table_VV), [document]))
    place = math.floor(0.6 * NUM_BINS + 0.5)  # 0.6 is an edge: which side is a matter of rounding
    assert sum(found.num_tokens[place - 1 : place + 1]) == 2
    assert sum(found.num_right) == 1
    assert sum(found.confidence_sum) == pytest.approx(1.2)


def test_end_ids_that_hold_all_mass_are_no_more_than_certain() -> None:
    """Their sum is rounded apart from the sum of all ids, and often lies above it."""
    rng = np.random.default_rng(0)
    ends = [5, 2, 9, 30]
    table_VV = np.full((VOCAB_SIZE, VOCAB_SIZE), -1e3)
    table_VV[:, ends] = 3 * rng.normal(size=(VOCAB_SIZE, len(ends)))
    symbols = np.array([index for index in range(VOCAB_SIZE) if index not in ends], np.int32)
    document = ScoreRequest("d", np.array([START], np.int32), symbols, 60)
    scores = score_documents(
        bigram_llama(table_VV), [document], end_ids=ends, num_tokens_per_batch=100
    )
    (found,) = bins_of(scores)
    assert (found.num_tokens[-1], found.num_right[-1]) == (61, 1)
    assert found.confidence_sum[-1] == pytest.approx(61)


def test_bins_count_every_event_once_and_agree_with_the_likeliest_ids() -> None:
    rng = np.random.default_rng(8)
    documents = some_documents(rng, 20)
    for document, found in zip(
        documents, score(bigram_llama(some_table(rng, "random")), documents), strict=True
    ):
        assert found.reliability is not None
        assert found.top1_ids is not None
        labels = [*document.symbol_ids.tolist(), END_IDS[0]]
        assert sum(found.reliability.num_tokens) == found.num_tokens
        assert sum(found.reliability.num_right) == (found.top1_ids == labels).sum()


@given(seed=st.integers(0, 2**16), num_tokens_per_batch=st.integers(1, 2000), data=st.data())
@settings(max_examples=25, deadline=None)
def test_bin_counts_do_not_depend_on_batches_or_order(
    seed: int, num_tokens_per_batch: int, data: st.DataObject
) -> None:
    rng = np.random.default_rng(seed)
    model, documents = bigram_llama(some_table(rng, "random")), some_documents(rng, 9)
    alone = {
        item.doc_id: bins for item, bins in zip(documents, _alone(model, documents), strict=True)
    }
    shuffled = data.draw(st.permutations(documents))
    for item, found in zip(
        shuffled, bins_of(score(model, shuffled, num_tokens_per_batch)), strict=True
    ):
        assert found.num_tokens == alone[item.doc_id].num_tokens
        assert found.num_right == alone[item.doc_id].num_right
        assert found.confidence_sum == pytest.approx(alone[item.doc_id].confidence_sum, rel=1e-12)


def _alone(model: LlamaForCausalLM, documents: Sequence[ScoreRequest]) -> list[Reliability]:
    return [bins for item in documents for bins in bins_of(score(model, [item]))]


def test_a_bin_holds_its_lower_edge_and_the_last_one_its_upper_edge_too() -> None:
    edges = np.array(EDGES)
    found = reliability(edges, np.zeros(NUM_BINS + 1, bool))
    assert found.num_tokens == (*[1] * (NUM_BINS - 1), 2)
    below = reliability(np.nextafter(edges[1:], 0), np.ones(NUM_BINS, bool))
    assert below.num_tokens == below.num_right == (1,) * NUM_BINS


@pytest.mark.parametrize("probability", [1.1, -0.1, math.nan])
def test_what_is_no_probability_is_refused(probability: float) -> None:
    with pytest.raises(DistillError, match="expected probabilities from 0 to 1"):
        reliability(np.array([0.5, probability]), np.array([True, True]))


def test_a_model_that_is_sure_and_always_wrong_has_its_confidence_as_error() -> None:
    table_VV = np.zeros((VOCAB_SIZE, VOCAB_SIZE))
    table_VV[:, 9] = math.log(0.9 / 0.1 * (VOCAB_SIZE - 1))
    rng = np.random.default_rng(0)
    documents = [
        ScoreRequest(str(index), np.array([START], np.int32), np.array([7] * length, np.int32), 1)
        for index, length in enumerate(rng.integers(0, 20, size=40))
    ]
    found = calibration_error(bins_of(score(bigram_llama(table_VV), documents)), seed=0)
    assert found.value == pytest.approx(0.9)
    assert found.low == pytest.approx(0.9)
    assert found.high == pytest.approx(0.9)
    assert found.n == 40


def test_a_model_is_calibrated_on_what_it_tells_itself() -> None:
    rng = np.random.default_rng(3)
    table_VV = some_table(rng, "random")
    table_VV[:, END_IDS] += 1.0
    bins = bins_of(score(bigram_llama(table_VV), told_documents(table_VV, rng, 500)))
    found = calibration_error(bins, seed=0, num_resamples=1000)
    assert found.value < 0.02
    assert found.low == 0.0
    assert sum(sum(item.num_tokens) for item in bins) > 5000


def test_the_diagram_adds_documents_and_leaves_empty_bins_without_a_mean() -> None:
    one = reliability(np.array([0.5, 0.52, 0.99]), np.array([True, False, True]))
    other = reliability(np.array([0.51]), np.array([True]))
    diagram = reliability_diagram([one, other])
    assert [item.bin for item in diagram] == list(range(NUM_BINS))
    assert [item.low for item in diagram[1:]] == [item.high for item in diagram[:-1]]
    assert (diagram[0].low, diagram[-1].high) == (0.0, 1.0)
    assert (diagram[7].num_tokens, diagram[7].num_right) == (3, 2)
    assert diagram[7].mean_confidence == pytest.approx(0.51)
    assert diagram[14].mean_confidence == pytest.approx(0.99)
    assert {item.mean_confidence for item in diagram if item.num_tokens == 0} == {None}
