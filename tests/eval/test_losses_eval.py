"""The dense losses against TRL's own generalized_jsd_loss, values and gradients."""

import os
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from distill.losses import generalized_jsd

pytest.importorskip("trl", reason="needs the extra eval (trl)")
pytestmark = [
    pytest.mark.eval,
    pytest.mark.filterwarnings("default"),  # theirs, and those of what they ask for
]


@pytest.fixture(scope="module")
def theirs() -> Callable[..., Tensor]:
    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    from trl.experimental.gkd import GKDTrainer

    loss: Callable[..., Tensor] = GKDTrainer.generalized_jsd_loss
    return loss


@pytest.mark.parametrize("beta", [0.0, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_generalized_jsd_is_trls_times_the_squared_temperature(
    theirs: Callable[..., Tensor], beta: float, temperature: float, dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(1)
    student, teacher = 4 * torch.randn(2, 3, 7, 257, generator=generator, dtype=dtype)
    labels = torch.randint(257, (3, 7), generator=generator)
    is_target = torch.rand(3, 7, generator=generator) < 0.6
    ours, other = student.clone().requires_grad_(), student.clone().requires_grad_()
    losses = generalized_jsd(
        ours[is_target],
        teacher[is_target],
        labels[is_target],
        beta=beta,
        alpha=1.0,
        temperature=temperature,
    )
    # With labels its "batchmean" is the mean over targets.
    expected = theirs(
        other,
        teacher,
        labels=labels.masked_fill(~is_target, -100),
        beta=beta,
        temperature=temperature,
    )
    expected = temperature**2 * expected
    torch.testing.assert_close(losses.mean(), expected, rtol=1e-6, atol=1e-6)
    losses.mean().backward()
    expected.backward()
    torch.testing.assert_close(ours.grad, other.grad, rtol=1e-5, atol=1e-6)
