"""Muon: momentum whose update is made orthogonal (Jordan et al. 2024).

The update of a matrix is U V^T of its Nesterov momentum's singular value decomposition U S V^T,
near enough: five steps of a Newton-Schulz iteration bring singular values above some 0.002 of the
norm into [0.68, 1.21], for matrix products alone. torch.optim.Muon does the same with these
products in bfloat16 wherever it runs; a processor without bfloat16 takes five times as long for
them as for float32, and most of a small student's step was that. Here they are bfloat16 on GPUs
that have it and float32 elsewhere, and matrices of one shape go through them together.
"""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor
from torch.optim import Optimizer

from distill.compute import has_bf16

_MOMENTUM = 0.95
_NUM_STEPS = 5
# Of x -> a x + b x^3 + c x^5: the steepest at zero that keeps [0, 1] within about [0.7, 1.2].
_A, _B, _C = 3.4445, -4.7750, 2.0315
_LEAST_NORM = 1e-7


class Muon(Optimizer):
    """For matrices alone. State: `momentum_buffer`, of the matrix' shape.

    An update is scaled by 0.2 * sqrt(max(rows, columns)), which gives its entries the size of those
    of an AdamW update (Liu et al., arXiv 2502.16982, section 2.2); weights decay by lr *
    weight_decay before it.
    """

    def __init__(self, params: Iterable[Tensor], *, weight_decay: float) -> None:
        super().__init__(params, {"lr": 0.0, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Change each parameter that has a gradient."""
        for group in self.param_groups:
            rate = group["lr"]
            for alike in _by_shape(p for p in group["params"] if p.grad is not None):
                updates = orthogonal(torch.stack([self._direction(p) for p in alike]))
                scale = 0.2 * max(alike[0].shape) ** 0.5
                for parameter, update in zip(alike, updates, strict=True):
                    parameter.mul_(1.0 - rate * group["weight_decay"])
                    parameter.add_(update, alpha=-rate * scale)

    def _direction(self, parameter: Tensor) -> Tensor:
        """Nesterov's: the gradient, and the momentum after it."""
        gradient, state = parameter.grad, self.state[parameter]
        assert gradient is not None
        if not state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        momentum: Tensor = state["momentum_buffer"].lerp_(gradient, 1.0 - _MOMENTUM)
        return gradient.lerp(momentum, _MOMENTUM)


def orthogonal(matrices_BRC: Tensor) -> Tensor:
    """Each matrix (R, C) with singular values near 1 and the same singular vectors, float32; a
    matrix of zeros stays one. On a GPU with bfloat16 the products are in it.
    """
    is_tall = matrices_BRC.shape[1] > matrices_BRC.shape[2]
    x = matrices_BRC.mT if is_tall else matrices_BRC
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp(min=_LEAST_NORM)
    x = x.bfloat16() if x.is_cuda and has_bf16(x.device) else x
    for _ in range(_NUM_STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=_B, alpha=_C), x, beta=_A)
    return (x.mT if is_tall else x).float()


def _by_shape(parameters: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    alike: dict[torch.Size, list[Tensor]] = {}
    for parameter in parameters:
        alike.setdefault(parameter.shape, []).append(parameter)
    yield from alike.values()
