"""The calibration error of synthetic models whose true one is known, and how often its interval
holds that.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from distill.errors import DistillError
from distill.evaluation.metrics import calibration_metric
from distill.evaluation.reliability import (
    Reliability,
    calibration_error,
    reliability,
    reliability_diagram,
)
from distill.evaluation.scoring import DocumentScore

Floats = npt.NDArray[np.float64]


def synthetic(
    rng: np.random.Generator, num_documents: int, truth: Callable[[Floats], Floats]
) -> list[Reliability]:
    """Documents of 30 to 120 events, sure of some and unsure of most, that come as often as
    `truth` says of their confidence.
    """
    documents = []
    for length in rng.integers(30, 121, size=num_documents):
        sure = rng.random(length) < 0.4
        confidence = np.where(sure, rng.beta(6, 1, length), rng.beta(1.2, 3, length))
        documents.append(reliability(confidence, rng.random(length) < truth(confidence)))
    return documents


def calibrated(confidence: Floats) -> Floats:
    return confidence


def too_sure(confidence: Floats) -> Floats:
    return 0.9 * confidence


def test_the_error_of_a_calibrated_model_goes_to_zero_with_more_documents() -> None:
    rng = np.random.default_rng(0)
    few, many, most = (
        calibration_error(synthetic(rng, n, calibrated), seed=0, num_resamples=10).value
        for n in (20, 320, 5120)
    )
    assert few > 0.01  # the plug-in's bias
    assert many < few / 2
    assert most < many / 2
    assert most < 0.003


def test_the_error_of_a_model_that_is_too_sure_goes_to_its_mean_distance() -> None:
    documents = synthetic(np.random.default_rng(0), 5000, too_sure)
    num_events = sum(sum(item.num_tokens) for item in documents)
    expected = 0.1 * sum(sum(item.confidence_sum) for item in documents) / num_events
    found = calibration_error(documents, seed=0, num_resamples=50)
    assert found.value == pytest.approx(expected, abs=0.003)
    assert found.low <= expected <= found.high


@pytest.mark.parametrize(
    ("truth", "expected", "least"),
    [
        pytest.param(calibrated, 0.0, 0.95, id="calibrated"),
        pytest.param(too_sure, 0.0514, 0.90, id="too-sure"),
    ],
)
def test_the_interval_covers_the_true_error(
    truth: Callable[[Floats], Floats], expected: float, least: float
) -> None:
    """Where percentiles of the resamples cover a calibrated model never and this too sure one at 20
    documents in half of the cases. 0.0514 is the limit for 15 000 documents.
    """
    rng = np.random.default_rng(11)
    covered = 0
    for trial in range(150):
        documents = synthetic(rng, 20 + 20 * (trial % 3), truth)
        found = calibration_error(documents, seed=trial, num_resamples=400)
        assert found.low <= found.value <= found.high
        covered += found.low <= expected <= found.high
    assert covered / 150 >= least


def test_bounds_equal_those_of_resampling_documents_one_by_one() -> None:
    rng = np.random.default_rng(4)
    documents = synthetic(rng, 30, too_sure)
    values = []
    for row in rng.integers(0, 30, size=(4000, 30)).tolist():
        drawn = reliability_diagram([documents[index] for index in row])
        total = sum(item.num_tokens for item in drawn)
        values.append(
            sum(
                item.num_tokens * abs(item.num_right / item.num_tokens - item.mean_confidence)
                for item in drawn
                if item.mean_confidence is not None
            )
            / total
        )
    found = calibration_error(documents, seed=0)
    lowest, highest = np.percentile(values, [2.5, 97.5])
    width = highest - lowest
    assert found.low == pytest.approx(2 * found.value - highest, abs=0.05 * width)
    assert found.high == pytest.approx(found.value + np.mean(values) - lowest, abs=0.05 * width)


def test_bounds_follow_from_the_seed_alone() -> None:
    documents = synthetic(np.random.default_rng(2), 25, too_sure)
    assert calibration_error(documents, seed=1) == calibration_error(documents, seed=1)
    assert calibration_error(documents, seed=1).high != calibration_error(documents, seed=2).high


def test_one_document_shows_no_spread_and_none_is_refused() -> None:
    found = calibration_error([reliability(np.array([0.8]), np.array([True]))], seed=0)
    assert found.value == pytest.approx(0.2)
    assert (found.low, found.high, found.n) == (0.0, 1.0, 1)
    with pytest.raises(DistillError, match="at least 1 document"):
        calibration_error([], seed=0)


def test_the_metric_counts_documents_and_is_absent_without_bins() -> None:
    bins = reliability(np.array([0.75]), np.array([False]))
    scored = [DocumentScore(name, 1.0, 1.0, 1, 1, reliability=bins) for name in "ab"]
    found = calibration_metric(scored, seed=0)
    assert found is not None
    assert (found.metric, found.value, found.n) == ("ece", 0.75, 2)
    assert calibration_metric([DocumentScore("a", 1.0, 1.0, 1, 1)], seed=0) is None
