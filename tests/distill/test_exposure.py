"""Exposure against its definition, its expectation against a direct sum, and a student that has
read canaries 1, 10 and 100 times.
"""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from distill.errors import DistillError
from distill.evaluation.exposure import Exposure, expected_exposure, exposures


def _one(nats: float, candidates: Sequence[float]) -> Exposure:
    [found] = exposures(np.array([nats]), np.array(candidates))
    return found


def test_the_rank_counts_who_is_likelier_and_ties_count_half() -> None:
    candidates = [5.0, 1.0, 3.0, 3.0, 9.0, 7.0, 7.5]
    assert _one(0.5, candidates).rank == 1
    assert _one(4.0, candidates).rank == 4
    assert _one(3.0, candidates).rank == 3
    assert _one(10.0, candidates).rank == 8
    assert _one(0.5, candidates).bits == 3.0
    assert _one(10.0, candidates).bits == 0.0
    assert _one(4.0, candidates).bits == 1.0


def test_a_student_that_likes_all_the_same_exposes_one_bit() -> None:
    """Halfway up: no order among equals gives a secret away."""
    found = exposures(np.zeros(3), np.zeros(1023))
    assert [item.rank for item in found] == [512.5] * 3
    assert found[0].bits == pytest.approx(1.0, abs=2e-3)


@pytest.mark.parametrize("num_ranked", [1, 2, 3, 100, 4_096])
def test_the_expected_exposure_is_the_mean_over_all_ranks(num_ranked: int) -> None:
    mean = sum(Exposure(0.0, rank, num_ranked).bits for rank in range(1, num_ranked + 1))
    assert expected_exposure(num_ranked) == pytest.approx(mean / num_ranked, abs=1e-9)


def test_the_expected_exposure_nears_log2_e_from_below() -> None:
    assert expected_exposure(4_096) < expected_exposure(10**6) < math.log2(math.e)
    assert expected_exposure(10**6) == pytest.approx(math.log2(math.e), abs=2e-5)


def test_random_ranks_have_the_expected_exposure() -> None:
    rng = np.random.default_rng(1)
    found = exposures(rng.normal(size=20_000), rng.normal(size=4_095))
    mean = float(np.mean([item.bits for item in found]))
    assert mean == pytest.approx(expected_exposure(4_096), abs=0.05)


def test_nothing_to_compare_with_and_broken_figures_are_refused() -> None:
    with pytest.raises(DistillError, match="found none"):
        exposures(np.zeros(1), np.zeros(0))
    with pytest.raises(DistillError, match="NaN"):
        exposures(np.array([math.nan]), np.zeros(3))
