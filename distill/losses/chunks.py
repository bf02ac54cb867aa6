"""Any loss of this package from hidden states, some positions at a time: the (N, V) logits of a
whole batch never exist, forwards or backwards.

Legend: N positions, C of them in a chunk, D width, V token ids, K flat targets.

Backward makes each chunk's logits anew: memory is that of C positions, for one more product of
hidden states and head (4 instead of 3).
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from distill.errors import DistillError


def in_chunks(
    loss: Callable[[Tensor, slice], Tensor],
    hidden_ND: Tensor,
    head_VD: Tensor,
    num_positions: int,
) -> Tensor:
    """The loss of each position, shape (N,), unreduced: equals loss(hidden @ head.T, slice(0, N)).

    `loss` maps the logits of a chunk (C, V) and its place in the batch to (C,); nothing but the
    logits may carry a gradient into it. `num_positions` is C; smaller takes less memory and more
    calls. The head's gradient is added up in float32 at least. Raises DistillError if C is below 1.
    """
    if num_positions < 1:
        raise DistillError(f"expected at least 1 position in a chunk, found {num_positions}")
    losses: Tensor = _InChunks.apply(  # type: ignore[no-untyped-call]
        loss, hidden_ND, head_VD, num_positions
    )
    return losses


def part_of(offsets_N1: Tensor, rows: slice) -> tuple[Tensor, slice]:
    """Of flat lists: a chunk's own offsets, and where its targets lie among all."""
    offsets_C1 = offsets_N1[rows.start : rows.stop + 1]
    return offsets_C1 - offsets_C1[0], slice(int(offsets_C1[0]), int(offsets_C1[-1]))


class _InChunks(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        loss: Callable[[Tensor, slice], Tensor],
        hidden_ND: Tensor,
        head_VD: Tensor,
        num_positions: int,
    ) -> Tensor:
        ctx.loss, ctx.num_positions = loss, num_positions
        device = hidden_ND.device.type
        ctx.autocast = {
            "device_type": device,
            "dtype": torch.get_autocast_dtype(device),
            "enabled": torch.is_autocast_enabled(device),
        }
        ctx.save_for_backward(hidden_ND, head_VD)
        parts = [
            loss(F.linear(hidden_ND[rows], head_VD), rows)
            for rows in _chunks(len(hidden_ND), num_positions)
        ]
        return torch.cat(parts)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_N: Tensor) -> tuple[Tensor | None, ...]:
        hidden_ND, head_VD = ctx.saved_tensors
        added_in = torch.promote_types(head_VD.dtype, torch.float32)
        grad_ND, grad_VD = torch.empty_like(hidden_ND), torch.zeros_like(head_VD, dtype=added_in)
        for rows in _chunks(len(hidden_ND), ctx.num_positions):
            with torch.enable_grad(), torch.autocast(**ctx.autocast):
                logits_CV = F.linear(hidden_ND[rows], head_VD).detach().requires_grad_()
                loss_C = ctx.loss(logits_CV, rows)
            (grad_CV,) = torch.autograd.grad(loss_C, logits_CV, grad_N[rows])
            grad_ND[rows] = grad_CV.to(head_VD.dtype) @ head_VD
            grad_VD.addmm_(grad_CV.T.to(added_in), hidden_ND[rows].to(added_in))
        return None, grad_ND, grad_VD.to(head_VD.dtype), None


def _chunks(num_all: int, num_positions: int) -> list[slice]:
    """At least one, so that a batch without positions has a loss of the right type as well."""
    starts = range(0, max(num_all, 1), num_positions)
    return [slice(start, min(start + num_positions, num_all)) for start in starts]
