"""Fisher consistency: over free logits a stored form's minimiser is the teacher, or how far off.

The whole demonstration, with students, is tests/bench/fisher.py; docs/targets.md shows it.
"""

import pytest
import torch
from torch import Tensor

from tests.bench.fisher import FORMS, NUM_KEPT, kl, minimisers, power_law


@pytest.fixture(scope="module")
def found() -> dict[str, Tensor]:
    return minimisers(seed=0)


@pytest.mark.parametrize(
    ("form", "least", "most"),
    [
        ("dense", 0.0, 1e-12),
        ("sampled", 0.0, 0.002),
        ("tail bucket", 0.09, 0.12),
        ("renormalised top-k", 0.9, float("inf")),
    ],
)
def test_the_minimiser_of_a_form_is_so_far_from_the_teacher(
    found: dict[str, Tensor], form: str, least: float, most: float
) -> None:
    assert form in FORMS
    assert least - 1e-12 <= kl(power_law(), found[form]).item() <= most


def test_a_tail_bucket_finds_every_kept_probability_and_the_tails_mass(
    found: dict[str, Tensor],
) -> None:
    teacher, q = power_law(), found["tail bucket"]
    torch.testing.assert_close(q[:NUM_KEPT], teacher[:NUM_KEPT], rtol=1e-5, atol=1e-9)
    spread = teacher[NUM_KEPT:].mean().expand(len(teacher) - NUM_KEPT)
    torch.testing.assert_close(q[NUM_KEPT:], spread, rtol=1e-5, atol=1e-9)


def test_renormalised_top_k_gives_what_was_not_kept_no_mass(found: dict[str, Tensor]) -> None:
    assert found["renormalised top-k"][NUM_KEPT:].sum() < 1e-3
