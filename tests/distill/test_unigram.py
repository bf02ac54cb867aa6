"""The unigram baseline against arithmetic by hand."""

import math

import numpy as np
import pytest

from distill.errors import DistillError
from distill.evaluation.scoring import ScoreRequest
from distill.evaluation.unigram import UnigramModel, fit_unigram, score_unigram

END_ID = 0


def ids(*values: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
    return np.array(values, dtype=np.int32)


def test_probabilities_are_smoothed_shares_that_sum_to_one() -> None:
    model = UnigramModel(np.array([2, 3, 0, 1]), smoothing=0.5)
    assert np.exp(-model.nll) == pytest.approx([2.5 / 8, 3.5 / 8, 0.5 / 8, 1.5 / 8])
    assert np.exp(-model.nll).sum() == pytest.approx(1.0)


def test_held_out_documents_are_scored_symbol_by_symbol_with_their_end() -> None:
    model = UnigramModel(np.array([2, 3, 0, 1]), smoothing=0.5)
    request = ScoreRequest("d", start_ids=ids(3), symbol_ids=ids(1, 1, 2), num_bytes=9)
    (found,) = score_unigram(model, [request], end_id=END_ID)
    assert found.nats_without_end == pytest.approx(-math.log(3.5 / 8 * 3.5 / 8 * 0.5 / 8))
    assert found.nats == pytest.approx(found.nats_without_end - math.log(2.5 / 8))
    assert (found.num_tokens, found.num_bytes) == (4, 9)


def test_counts_are_those_of_the_training_documents() -> None:
    model = fit_unigram(lambda: [ids(1, 1, END_ID), ids(3, 1, END_ID)], vocab_size=5)
    assert model.counts.tolist() == [2, 3, 0, 1, 0]


def test_smoothing_is_the_best_power_of_two_with_each_document_left_out() -> None:
    rng = np.random.default_rng(0)
    documents = [
        np.append(rng.zipf(1.5, size=30).clip(1, 99), END_ID).astype(np.int32) for _ in range(12)
    ]

    def left_out_nats(smoothing: float) -> float:
        total = 0.0
        for index, document in enumerate(documents):
            rest = np.concatenate(documents[:index] + documents[index + 1 :])
            for symbol in document.tolist():
                count = int((rest == symbol).sum())
                total -= math.log((count + smoothing) / (len(rest) + smoothing * 100))
        return total

    best = min((2.0**power for power in range(-10, 5)), key=left_out_nats)
    model = fit_unigram(lambda: documents, vocab_size=100)
    assert model.smoothing == best
    assert 2.0**-10 < best < 2.0**4


def test_the_digest_names_the_model_and_nothing_else() -> None:
    documents = [ids(1, 1, END_ID), ids(3, 1, END_ID)]
    model = fit_unigram(lambda: documents, vocab_size=5)
    assert fit_unigram(lambda: documents[::-1], vocab_size=5).digest == model.digest
    assert fit_unigram(lambda: documents, vocab_size=6).digest != model.digest


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        ([], "at least one training document"),
        ([ids()], "found none"),
        ([ids(1, 7)], "from 0 to 4 .* found 1 to 7"),
    ],
)
def test_documents_of_another_space_are_refused(
    documents: list[np.ndarray[tuple[int, ...], np.dtype[np.int32]]], message: str
) -> None:
    with pytest.raises(DistillError, match=message):
        fit_unigram(lambda: documents, vocab_size=5)
