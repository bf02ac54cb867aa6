"""Muon against the singular value decomposition in float64, and against torch's own."""

import pytest
import torch

from distill.muon import Muon, orthogonal

SHAPES = [(24, 24), (24, 60), (60, 24), (1, 16)]


def random_matrix(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", SHAPES)
def test_orthogonal_is_the_polynomial_of_the_singular_values(shape: tuple[int, int]) -> None:
    matrices = random_matrix(0, 3, *shape)
    found = orthogonal(matrices)
    u, values, vh = torch.linalg.svd(matrices.double(), full_matrices=False)
    values = values / values.square().sum(dim=1, keepdim=True).sqrt()
    for _ in range(5):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    expected = u @ torch.diag_embed(values) @ vh
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=2e-5)


def test_a_matrix_of_zeros_stays_one() -> None:
    assert torch.equal(orthogonal(torch.zeros(2, 5, 7)), torch.zeros(2, 5, 7))


def test_matrices_that_go_together_do_not_feel_each_other() -> None:
    matrices = random_matrix(1, 4, 16, 40)
    alone = torch.cat([orthogonal(matrix[None]) for matrix in matrices])
    torch.testing.assert_close(orthogonal(matrices), alone, rtol=0, atol=1e-5)


def test_ten_steps_are_torchs_but_for_its_bfloat16() -> None:
    ours = [random_matrix(place, *shape).requires_grad_() for place, shape in enumerate(SHAPES)]
    theirs = [parameter.detach().clone().requires_grad_() for parameter in ours]
    other = torch.optim.Muon(
        theirs, lr=0.02, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw"
    )
    own = Muon(ours, weight_decay=0.1)
    own.param_groups[0]["lr"] = 0.02
    first = [parameter.detach().clone() for parameter in ours]
    for step in range(10):
        for place, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            a.grad = random_matrix(100 * step + place, *a.shape)
            b.grad = a.grad.clone()
        own.step()
        other.step()
    for before, a, b in zip(first, ours, theirs, strict=True):
        assert (a - b).norm() < 0.02 * (b - before).norm()
        torch.testing.assert_close(
            own.state[a]["momentum_buffer"], other.state[b]["momentum_buffer"], rtol=0, atol=1e-6
        )


def test_what_has_no_gradient_is_left_alone() -> None:
    still, moved = random_matrix(0, 8, 8), random_matrix(1, 8, 8)
    moved.grad = random_matrix(2, 8, 8)
    muon = Muon([still, moved], weight_decay=0.5)
    muon.param_groups[0]["lr"] = 0.1
    muon.step()
    assert torch.equal(still, random_matrix(0, 8, 8))
    assert not torch.equal(moved, random_matrix(1, 8, 8))
    assert still not in muon.state
