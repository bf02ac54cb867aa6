"""Honest draws pass at the stated level, dishonest ones do not."""

import numpy as np
import pytest
import torch
from torch import Tensor

from distill.draw_fit import NUM_BANDS, BandCounts, GTest, count_bands, g_test
from distill.draws import draw_counts, draw_uniforms

V = 400


def teacher_probs(num_positions: int, seed: int, sharpness: float = 2.5) -> Tensor:
    """A law of its own at each position: sure at some, at a loss at others."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(num_positions, V, generator=generator, dtype=torch.float64) * 2
    logits -= 1.1 * torch.arange(1, V + 1).double().log()
    sharp = torch.rand(num_positions, 1, generator=generator, dtype=torch.float64)
    return (logits * (sharp * sharpness + 0.4)).softmax(dim=1)


def look(stored: Tensor, teacher: Tensor, num_draws: int, seed: int = 0) -> GTest:
    """The test of draws from one law against another."""
    num_positions = stored.shape[0]
    draws = draw_counts(stored, draw_uniforms(seed, "doc", num_positions, num_draws))
    rows = np.repeat(np.arange(num_positions), draws.n_targets)
    return g_test(
        count_bands(
            teacher,
            torch.from_numpy(rows),
            torch.from_numpy(draws.ids).long(),
            torch.from_numpy(draws.counts).long(),
            num_draws,
        )
    )


@pytest.mark.parametrize(("num_positions", "num_draws"), [(60, 50), (60, 255), (500, 1)])
def test_honest_draws_fail_as_often_as_the_level_says(num_positions: int, num_draws: int) -> None:
    probs = teacher_probs(num_positions, seed=num_positions)
    empty = torch.zeros(0, dtype=torch.int64)
    null = count_bands(probs, empty, empty, empty, num_draws)
    rng = np.random.default_rng(1)
    bands = torch.frexp(probs).exponent.neg().clamp(0, NUM_BANDS - 1).numpy()
    masses = np.zeros((num_positions, NUM_BANDS))
    np.add.at(masses, (np.arange(num_positions)[:, None], bands), probs.numpy())
    np.testing.assert_allclose(null.expected, num_draws * masses.sum(axis=0), rtol=1e-12)
    masses /= masses.sum(axis=1, keepdims=True)
    num_trials = 3000
    p_values = np.array(
        [
            g_test(
                BandCounts(
                    rng.multinomial(num_draws, masses).sum(axis=0).astype(float),
                    null.expected,
                    null.covariance,
                )
            ).p_value
            for _ in range(num_trials)
        ]
    )
    for level in (0.5, 0.1, 0.01):
        spread = np.sqrt(level * (1 - level) / num_trials)
        assert abs((p_values <= level).mean() - level) < 4 * spread, level


def test_the_covariance_is_that_of_drawn_counts() -> None:
    probs = teacher_probs(20, seed=3)
    counts = []
    for seed in range(400):
        draws = draw_counts(probs, draw_uniforms(seed, "doc", 20, 30))
        rows = torch.from_numpy(np.repeat(np.arange(20), draws.n_targets))
        ids, num = torch.from_numpy(draws.ids).long(), torch.from_numpy(draws.counts).long()
        counts.append(count_bands(probs, rows, ids, num, 30))
    observed = np.array([each.observed for each in counts])
    spread = np.sqrt(np.diag(counts[0].covariance) / 400)
    assert (np.abs(observed.mean(axis=0) - counts[0].expected) <= 4 * spread + 1e-9).all()
    variances = np.diag(counts[0].covariance)
    is_common = counts[0].expected > 20
    found = observed.var(axis=0)[is_common] / variances[is_common]
    np.testing.assert_allclose(found, 1.0, atol=5 * np.sqrt(2 / 400))


@pytest.mark.parametrize("num_draws", [12, 50])
def test_draws_of_another_law_are_found(num_draws: int) -> None:
    teacher = teacher_probs(600, seed=5)
    warmer = (teacher.log() / 1.1).softmax(dim=1)
    top = teacher.topk(50, dim=1)
    truncated = torch.zeros_like(teacher).scatter(1, top.indices, top.values)
    truncated /= truncated.sum(dim=1, keepdim=True)
    assert look(teacher, teacher, num_draws).p_value > 0.01
    for stored in (warmer, teacher.roll(1, dims=0), teacher_probs(600, seed=6), truncated):
        assert look(stored, teacher, num_draws).p_value < 1e-9


def test_an_impossible_id_is_found() -> None:
    teacher = teacher_probs(50, seed=7).float()
    possible = teacher.clone()
    teacher[:, :20] = 0.0
    teacher /= teacher.sum(dim=1, keepdim=True)
    assert look(possible, teacher, 50).p_value < 1e-9


def test_too_few_draws_say_nothing() -> None:
    teacher = teacher_probs(1, seed=8)
    assert look(teacher, teacher, 3) == GTest(0.0, 0.0, 1.0)
    assert g_test(BandCounts.none()).p_value == 1.0
