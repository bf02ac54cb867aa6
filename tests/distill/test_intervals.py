"""Ratios of sums and their bootstrap: values by hand, coverage by simulation."""

import math

import numpy as np
import pytest

from distill.errors import DistillError
from distill.evaluation.agreement import Agreement
from distill.evaluation.intervals import (
    Estimate,
    bits_per_byte,
    bits_per_byte_point,
    mean_share,
    paired_difference,
    ratio,
    smallest_difference,
)
from distill.evaluation.metrics import agreement_metric, bits_per_byte_metrics, share
from distill.evaluation.scoring import DocumentScore


def test_bits_per_byte_is_a_ratio_of_sums_not_a_mean_of_ratios() -> None:
    found = bits_per_byte([math.log(2) * 4, math.log(2) * 2], [1, 2], seed=0)
    assert found.value == pytest.approx(2.0)
    assert found.n == 2
    assert found.value == bits_per_byte_point([math.log(2) * 4, math.log(2) * 2], [1, 2])


def test_bootstrap_bounds_equal_those_of_resampling_documents_one_by_one() -> None:
    rng = np.random.default_rng(3)
    top, bottom = rng.gamma(4, 50, size=40), rng.integers(100, 900, size=40)
    draws = rng.integers(0, 40, size=(20_000, 40))
    expected = np.percentile(
        [sum(top[i] for i in row) / sum(bottom[i] for i in row) for row in draws.tolist()],
        [2.5, 97.5],
    )
    found = ratio(top, bottom, seed=0)
    width = expected[1] - expected[0]
    assert found.low == pytest.approx(expected[0], abs=0.03 * width)
    assert found.high == pytest.approx(expected[1], abs=0.03 * width)


def test_the_95_percent_interval_covers_the_truth_nearly_that_often() -> None:
    rng = np.random.default_rng(5)
    covered = 0
    for trial in range(300):
        num_bytes = rng.integers(200, 1200, size=60)
        nats = num_bytes * rng.normal(1.0, 0.2, size=60)
        found = ratio(nats, num_bytes, seed=trial, num_resamples=600)
        covered += found.low <= 1.0 <= found.high
    assert 0.91 <= covered / 300 <= 0.98


def test_bounds_follow_from_the_seed_alone() -> None:
    nats, num_bytes = [3.0, 5.0, 9.0], [2, 3, 4]
    assert bits_per_byte(nats, num_bytes, seed=1) == bits_per_byte(nats, num_bytes, seed=1)
    many = np.random.default_rng(0).gamma(2, 3, size=50)
    ones = np.ones(50)
    assert ratio(many, ones, seed=1).low != ratio(many, ones, seed=2).low


def test_resamples_do_not_depend_on_how_they_are_cut_into_pieces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = np.random.default_rng(0).gamma(2, 3, size=30)
    whole = ratio(values, np.ones(30), seed=1)
    monkeypatch.setattr("distill.evaluation.intervals._WEIGHTS_AT_ONCE", 700)
    assert ratio(values, np.ones(30), seed=1) == whole


def test_a_student_against_itself_differs_by_exactly_nothing() -> None:
    nats = np.random.default_rng(0).gamma(2, 300, size=50)
    found = paired_difference(nats, nats, np.full(50, 700), seed=0)
    assert found == Estimate(0.0, 0.0, 0.0, 50)


def test_pairing_removes_what_makes_a_document_hard_for_both() -> None:
    rng = np.random.default_rng(7)
    num_bytes = rng.integers(200, 1200, size=80)
    hard = num_bytes * rng.gamma(20, 0.05, size=80)
    better = hard - 0.01 * num_bytes
    found = paired_difference(better, hard, num_bytes, seed=0)
    assert found.value == pytest.approx(-0.01 / math.log(2))
    assert found.high - found.low < 1e-9
    assert bits_per_byte(hard, num_bytes, seed=0).high > bits_per_byte_point(hard, num_bytes) + 0.01


def test_paired_difference_is_the_difference_of_the_two_figures() -> None:
    rng = np.random.default_rng(2)
    one, other = rng.gamma(2, 300, size=20), rng.gamma(2, 300, size=20)
    num_bytes = rng.integers(200, 1200, size=20)
    found = paired_difference(one, other, num_bytes, seed=0)
    apart = bits_per_byte_point(one, num_bytes) - bits_per_byte_point(other, num_bytes)
    assert found.value == pytest.approx(apart, rel=1e-12)


def test_one_document_shows_no_spread() -> None:
    found = ratio([3.0], [2.0], seed=0)
    assert found == Estimate(1.5, -math.inf, math.inf, 1)


@pytest.mark.parametrize(
    ("top", "bottom", "message"),
    [([], [], "found 0 and 0"), ([1.0], [1, 2], "found 1 and 2"), ([1.0], [0], "above 0")],
)
def test_ratio_refuses_what_has_no_ratio(top: list[float], bottom: list[int], message: str) -> None:
    with pytest.raises(DistillError, match=message):
        ratio(top, bottom, seed=0)


def test_paired_difference_refuses_different_documents() -> None:
    with pytest.raises(DistillError, match="found 1 and 2"):
        paired_difference([1.0], [1.0, 2.0], [1, 2], seed=0)


def test_wilson_bounds_equal_published_ones() -> None:
    """Newcombe 1998, Statistics in Medicine 17:857, table I: 81 of 263, 15 of 148, 0 of 20, 1 of
    29.
    """
    for successes, n, low, high in [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ]:
        found = mean_share([1] * successes + [0] * (n - successes))
        assert found.value == successes / n
        assert found.low == pytest.approx(low, abs=6e-5)
        assert found.high == pytest.approx(high, abs=6e-5)
        assert found.n == n


def test_share_of_unanimous_stories_keeps_a_width() -> None:
    found = share("required_words", [1.0] * 10)
    assert (found.metric, found.value, found.high, found.n) == ("required_words", 1.0, 1.0, 10)
    assert 0.6 < found.low < 0.8


@pytest.mark.parametrize("values", [[], [1.2], [-0.1, 1]])
def test_share_refuses_what_is_no_share(values: list[float]) -> None:
    with pytest.raises(DistillError, match="shares from 0 to 1"):
        mean_share(values)


def test_smallest_difference_is_the_gain_at_which_the_upper_bound_meets_the_margin() -> None:
    found = Estimate(-0.02, -0.05, 0.01, 40)
    gain = smallest_difference(found, margin=0.005)
    shift = -gain - found.value
    assert found.high + shift == pytest.approx(-0.005)


def test_metrics_of_scores_count_documents_and_compared_positions() -> None:
    scores = [
        DocumentScore("a", 6 * math.log(2), 4 * math.log(2), 2, 3),
        DocumentScore("b", 3 * math.log(2), 2 * math.log(2), 1, 2),
    ]
    whole, without_end = bits_per_byte_metrics(scores, seed=0)
    assert (whole.metric, whole.n) == ("bits_per_byte", 2)
    assert whole.value == pytest.approx(3.0)
    assert without_end.value == pytest.approx(2.0)
    assert without_end.metric == "bits_per_byte_without_end"
    found = agreement_metric([Agreement(1, 4), Agreement(0, 0), Agreement(3, 4)], seed=0)
    assert found is not None
    assert (found.metric, found.value, found.n) == ("top1_agreement", 0.5, 8)
    assert (found.low, found.high) == (0.25, 0.75)
    assert agreement_metric([Agreement(0, 0)], seed=0) is None
